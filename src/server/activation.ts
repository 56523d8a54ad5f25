/**
 * Socket activation, by sd_listen_fds(3): listening sockets that systemd, libnbd or another parent opened for us.
 *
 * They are the descriptors from 3 on, LISTEN_FDS of them, when LISTEN_PID is this process: the variables come through a shell or
 * npx unchanged, the process id does not. LISTEN_FDNAMES may name them, with colons between:
 *
 *   http                   the HTTP APIs; TCP, one of them, and it takes the place of --http
 *   nbd                    NBD: a unix socket is the operator's door, TCP the tenants'
 *   no name of its own     the same as nbd; but of several TCP sockets nobody could tell which one is for HTTP
 *
 * With sockets passed in, nothing is listened on by default: what --http and --nbd say comes in addition.
 */

import { statSync } from 'node:fs'
import { inheritedSocketAddress } from '../addon/os.js'
import { type HostPort, type ListenAddress, parseHostPort } from '../lib/addresses.js'
import { defineError } from '../lib/errors.js'

export const BadActivation = defineError('bad_activation', 400, 'socket activation: %s')

const firstDescriptor = 3
const socketsMax = 64
/** What systemd, libnbd and others say when nobody gave the socket a name; a unit's own name is systemd's default. */
const isNoName = (name: string) => name === '' || name === 'unknown' || name.endsWith('.socket')

export interface Activation {
  http: (HostPort & { fd: number }) | undefined
  nbd: ListenAddress[]
}

export interface Passed {
  /** undefined: none. */
  activation: Activation | undefined
  /** What the operator should hear. */
  warnings: string[]
}

/**
 * The sockets that were passed to this process. The variables are taken out of `env`, so that children do not take them for
 * theirs. Throws BadActivation, InheritedSocketUnusable.
 */
export function takeActivation(env: NodeJS.ProcessEnv, pid: number): Passed {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env
  for (const name of ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name]
  if (LISTEN_PID === undefined || LISTEN_FDS === undefined) return { activation: undefined, warnings: [] }
  if (LISTEN_PID !== String(pid)) {
    const words = `sockets were passed to process ${LISTEN_PID}, and this is ${pid}: they are ignored. Who passes sockets must start node itself, without a shell or npx between`
    return { activation: undefined, warnings: [words] }
  }
  const count = /^\d{1,9}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : Number.NaN
  if (Number.isNaN(count) || count > socketsMax)
    throw new BadActivation(`LISTEN_FDS is ${JSON.stringify(LISTEN_FDS)}, expected a number up to ${socketsMax}`)
  if (count === 0) return { activation: undefined, warnings: [] }
  return sortOut(count, LISTEN_FDNAMES)
}

function sortOut(count: number, namesGiven: string | undefined): Passed {
  const names = namesGiven?.split(':') ?? Array.from({ length: count }, () => '')
  if (names.length !== count)
    throw new BadActivation(`LISTEN_FDNAMES has ${names.length} names for ${count} sockets: ${namesGiven}`)

  const activation: Activation = { http: undefined, nbd: [] }
  const warnings: string[] = []
  const unnamedTcp: string[] = []
  for (const [i, name] of names.entries()) {
    const fd = firstDescriptor + i
    if (name !== 'http' && name !== 'nbd' && !isNoName(name))
      throw new BadActivation(`descriptor ${fd} is named ${JSON.stringify(name)}; expected http, nbd or no name`)
    const address = inheritedSocketAddress(fd)
    const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined
    if (name === 'http') {
      if (path !== undefined) throw new BadActivation(`${address} is named http, and HTTP is served over TCP only`)
      if (activation.http) throw new BadActivation(`two sockets are named http, the second is ${address}; HTTP has one`)
      activation.http = { ...parseHostPort(address), fd }
    } else if (path !== undefined) {
      activation.nbd.push({ kind: 'unix', path, fd })
      if (isOpenToAll(path))
        warnings.push(`every user of this machine may connect to ${path}, where NBD serves everything: see SocketMode=`)
    } else {
      activation.nbd.push({ kind: 'tcp', ...parseHostPort(address), fd })
      if (name !== 'nbd') unnamedTcp.push(address)
    }
  }
  if (unnamedTcp.length > 1)
    throw new BadActivation(
      `${unnamedTcp.join(' and ')} have no name that says whether they are for HTTP or NBD: name them http or nbd ` +
        '(FileDescriptorName= in a socket unit)',
    )
  return { activation, warnings }
}

/** Of the file alone: its folder may keep others out all the same, as /run/user does. No file any more: nobody comes by it. */
function isOpenToAll(path: string): boolean {
  return ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o002) !== 0
}
