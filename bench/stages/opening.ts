/** How long a client waits for its first byte: of a disk, of a very large disk, of each of a thousand. */

import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GiB, KiB, regionBytes, TiB } from '../../src/lib/units.js'
import { createQcow2 } from '../load/fill.js'
import { nbdClient } from '../load/nbd_client.js'
import type { Case, Contender, Room, Stage } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { nbdServer, nbdServers } from '../servers/nbd_peers.js'
import { median } from '../report/statistics.js'

interface Disks {
  /** A disk with a block of data in each 4 MiB of its size, the first at 0; made when it is first asked for. */
  disk(sizeBytes: number): Promise<string>
}

export const openingStage: Stage<Disks> = {
  name: 'opening',
  title: 'Connect, handshake and first read of 4 KiB (buffered, unix socket)',
  removedLast: true,
  cases: [
    { sizeBytes: GiB, name: 'first-read-1GiB', title: 'a disk of 1 GiB', quick: true },
    {
      sizeBytes: TiB,
      name: 'first-read-1TiB',
      title: 'a disk of 1 TiB with a block of data in each 4 MiB',
      quick: false,
    },
  ].map(
    ({ sizeBytes, ...words }): Case<Disks> => ({
      ...words,
      unit: 'ms',
      better: 'less',
      // Making 1 TiB is most of the time.
      ...(sizeBytes === TiB && { rounds: 3 }),
      prepare: async (disks) => void (await disks.disk(sizeBytes)),
      run: async (disks) => {
        const { ms } = await nbdClient<{ ms: number[] }>(['first-read', 50, await disks.disk(sizeBytes)])
        return { value: median(ms), operations: ms.length }
      },
    }),
  ),
  open: async (room, wanted) => {
    const contenders = [await openAtoll(room)]
    for (const name of Object.keys(nbdServers).filter(wanted)) contenders.push(openPeer(room, name))
    return contenders
  },
}

async function openAtoll(room: Room): Promise<Contender<Disks>> {
  const { api, pid, uri, stop } = await startAtoll(join(room.dir, 'atoll'))
  const disk = once(async (sizeBytes) => {
    const made = uri(await api.createVolume({ size: sizeBytes / GiB }))
    await scatter(made, sizeBytes)
    return made
  })
  return { name: 'atoll', role: 'atoll', subject: { disk }, serverPid: () => pid, close: stop }
}

function openPeer(room: Room, name: string): Contender<Disks> {
  const peer = nbdServers[name]
  if (peer === undefined) throw new Error(`no peer ${name}`)
  let pid: number | undefined
  let close = async () => {}
  const disk = once(async (sizeBytes) => {
    await close()
    const file = join(room.dir, `${name.replace(' ', '-')}-${sizeBytes}.img`)
    if (peer.format === 'qcow2') await createQcow2(file, sizeBytes)
    else await writeFile(file, '').then(() => truncate(file, sizeBytes))
    const server = await peer.serve({ dir: room.dir, file, transport: 'unix', cache: 'buffered' })
    pid = server.pid
    close = server.stop
    await scatter(server.uri, sizeBytes)
    return server.uri
  })
  return { name, role: 'peer', subject: { disk }, serverPid: () => pid, close: () => close() }
}

async function scatter(uri: string, sizeBytes: number): Promise<void> {
  await nbdClient(['stride', 'write', uri, regionBytes, sizeBytes / regionBytes])
}

/** Of two sizes the second replaces the first. */
function once(make: (sizeBytes: number) => Promise<string>): (sizeBytes: number) => Promise<string> {
  let last: { sizeBytes: number; uri: Promise<string> } | undefined
  return (sizeBytes) => {
    if (last?.sizeBytes !== sizeBytes) last = { sizeBytes, uri: make(sizeBytes) }
    return last.uri
  }
}

// ---- many exports ----

const exportCount = 1000

export const exportsStage: Stage<string[]> = {
  name: 'exports',
  title: '1,000 exports of one server (unix socket)',
  cases: [
    {
      name: 'exports-1000',
      title: 'one client connects to each and reads 4 KiB, all connections open at the end',
      unit: 'ms',
      better: 'less',
      rounds: 3,
      run: async (uris) => {
        const { seconds, operations } = await nbdClient<{ seconds: number; operations: number }>(
          ['each'],
          uris.join('\n'),
        )
        return { value: seconds * 1000, operations }
      },
    },
  ],
  open: async (room, wanted) => {
    const names = Array.from({ length: exportCount }, (_, index) => `disk${index}`)
    const contenders = [await openVolumes(room, names)]
    if (wanted('nbd-server')) contenders.push(await openFiles(room, names))
    return contenders
  },
}

async function openVolumes(room: Room, names: string[]): Promise<Contender<string[]>> {
  const { api, pid, uri, stop } = await startAtoll(join(room.dir, 'atoll'))
  const uris: string[] = []
  for (const name of names) uris.push(uri(await api.createVolume({ name })))
  for (const one of uris) await nbdClient(['stride', 'write', one, 4 * KiB, 1])
  return { name: 'atoll', role: 'atoll', subject: uris, serverPid: () => pid, close: stop }
}

async function openFiles(room: Room, names: string[]): Promise<Contender<string[]>> {
  const files = names.map((name) => join(room.dir, `${name}.img`))
  const block = Buffer.alloc(4 * KiB, 'atoll')
  for (const file of files) {
    await writeFile(file, block)
    await truncate(file, GiB)
  }
  const exports = Object.fromEntries(names.map((name, index) => [name, files[index] ?? '']))
  const options = { dir: room.dir, file: '', transport: 'unix', cache: 'buffered' } as const
  const { uri, pid, stop } = await nbdServer(options, exports)
  const uris = names.map((name) => uri.replace('disk0', name))
  return { name: 'nbd-server', role: 'peer', subject: uris, serverPid: () => pid, close: stop }
}
