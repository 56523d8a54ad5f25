/** A disk read and written from end to end over TLS with a shared key, by nbdcopy: what encryption leaves of the speed. */

import { randomBytes } from 'node:crypto'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { GiB, MiB } from '../../src/lib/units.js'
import { answers } from '../../testkit/ports.js'
import { fill, patternFile, verifyAllocated } from '../load/fill.js'
import type { Case, Contender, Room, Stage } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { socketPath, startDaemon } from '../servers/daemon.js'

const areaBytes = GiB
const user = 'bench'

interface Encrypted {
  uri: string
  /** What is written. */
  pattern: string
}

export const tlsStage: Stage<Encrypted> = {
  name: 'tls',
  title: 'TLS with a shared key, 1 GiB by nbdcopy (buffered, unix socket)',
  cases: (['read', 'write'] as const).map(
    (what): Case<Encrypted> => ({
      name: `tls-${what}`,
      title: what === 'read' ? 'from the server' : 'to the server, with a flush at the end',
      unit: 'MiB/s',
      better: 'more',
      quick: what === 'read',
      targets: [{ kind: 'ratio', atLeast: 1.2 }],
      run: async ({ uri, pattern }) => {
        const begin = performance.now()
        await (what === 'read' ? execa('nbdcopy', [uri, 'null:']) : fill(uri, pattern))
        const seconds = (performance.now() - begin) / 1000
        return { value: areaBytes / MiB / seconds, operations: areaBytes / MiB }
      },
    }),
  ),
  open: async (room, wanted) => {
    const pattern = await patternFile(room.dir, areaBytes)
    const keys = join(room.dir, 'keys.psk')
    await writeFile(keys, `${user}:${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
    const contenders = [await openAtoll(room, pattern, keys)]
    for (const name of Object.keys(peers).filter(wanted)) contenders.push(await openPeer(room, pattern, keys, name))
    return contenders
  },
}

const uriOf = (socket: string, keys: string, name = '') =>
  `nbds+unix://${user}@/${name}?socket=${socket}&tls-psk-file=${keys}`

async function openAtoll(room: Room, pattern: string, keys: string): Promise<Contender<Encrypted>> {
  const socket = socketPath()
  const more = ['--nbd', `unix:${socket}?tls=required`, '--nbd-tls-psk', keys]
  const { api, dataDir, pid, stop } = await startAtoll(join(room.dir, 'atoll'), more)
  const uri = uriOf(socket, keys, await api.createVolume())
  await fill(uri, pattern)
  await verifyAllocated(join(dataDir, 'store', 'data'), areaBytes)
  return { name: 'atoll', role: 'atoll', subject: { uri, pattern }, serverPid: () => pid, close: stop }
}

interface Where {
  dir: string
  keys: string
  socket: string
  file: string
}

const peers: Record<string, (where: Where) => [program: string, args: string[]]> = {
  // It looks for keys.psk in the folder.
  'qemu-nbd raw': ({ dir, socket, file }) => [
    'qemu-nbd',
    [
      ...['--persistent', '--shared=0', '--format=raw', `--socket=${socket}`],
      ...['--object', `tls-creds-psk,id=tls,endpoint=server,dir=${dir}`, '--tls-creds=tls', file],
    ],
  ],
  nbdkit: ({ keys, socket, file }) => [
    'nbdkit',
    ['--foreground', `--unix=${socket}`, '--tls=require', `--tls-psk=${keys}`, 'file', file],
  ],
}

async function openPeer(room: Room, pattern: string, keys: string, name: string): Promise<Contender<Encrypted>> {
  const file = join(room.dir, `${name.replace(' ', '-')}.img`)
  await writeFile(file, '')
  await truncate(file, areaBytes)
  const socket = socketPath()
  const [program, args] = peers[name]?.({ dir: room.dir, keys, socket, file }) ?? ['', []]
  const ready = () => answers({ path: socket })
  const { pid, stop } = await startDaemon({ program, args, logPath: `${file}.log`, ready })
  const uri = uriOf(socket, keys)
  await fill(uri, pattern)
  await verifyAllocated(file, areaBytes)
  return { name, role: 'peer', subject: { uri, pattern }, serverPid: () => pid, close: stop }
}
