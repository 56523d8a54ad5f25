/** What the server says to people when it has started. */

import { realpathSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatHostPort, reachable } from '../lib/addresses.js'
import { shellQuoted } from '../lib/shell.js'
import type { Server } from './serving.js'

/** What runs this program again where these words are read: as it was found in PATH, by npx in a checkout, or by its file. */
export function command(env = process.env, script = process.argv[1] ?? ''): string {
  const inPath = (env['PATH'] ?? '').split(delimiter).some((folder) => isSame(join(folder, 'atoll'), script))
  if (inPath && env['npm_command'] === undefined) return 'atoll'
  const root = fileURLToPath(new URL('../..', import.meta.url))
  if (isSame(process.cwd(), root)) return 'npx --no-install atoll'
  return `node ${script}`
}

function isSame(one: string, other: string): boolean {
  try {
    return realpathSync(one) === realpathSync(other)
  } catch {
    return false // one of them is not there
  }
}

const clients = [
  '  openstack token issue',
  '  swift upload things README.md && swift list things',
  '  openstack volume create --size 1 first && openstack volume list',
]

const loggingIn = (openrc: string, firstStart: boolean) => [
  firstStart ? 'The user "admin" was made. To log in:' : 'To log in:',
  `  . ${shellQuoted(openrc)}`,
]

export function greeting({ settings, store, doors, firstStart }: Server): string {
  const { openrc, path } = store.directory
  const { io, cache } = store.engine.info()
  const url =
    doors.http && (settings.publicUrl ?? `${doors.httpScheme}://${formatHostPort(reachable(doors.http, '127.0.0.1'))}`)
  const socket = doors.nbd.find((address) => address.startsWith('unix:'))?.slice('unix:'.length)
  const lines = [
    '',
    `Atoll is serving ${path}  (${cache} files by ${io === 'uring' ? 'io_uring' : 'threads'})`,
    url ? `  HTTP   ${url}   identity /v3 · objects /v1 · images /image · volumes /volume` : '  HTTP   off',
    ...doors.nbd.map((address, i) =>
      address.startsWith('unix:')
        ? `  NBD    ${address.slice('unix:'.length)}   operators: everything, by ID or unique name`
        : `  NBD    ${address}   attachments only${doors.nbdTls[i] === 'off' ? '' : `, TLS ${doors.nbdTls[i]}`}`,
    ),
    ...(doors.metrics ? [`  METRICS  http://${formatHostPort(doors.metrics)}/metrics`] : []),
    '',
    ...(url ? loggingIn(openrc, firstStart) : []),
    'To try:',
    ...(url ? clients : []),
    ...(socket ? [`  nbdinfo --list 'nbd+unix:///?socket=${socket}'`] : []),
    `  ${command()} status --data ${shellQuoted(path)}`,
    '',
  ]
  return lines.join('\n')
}
