/** The first write to each block of a fresh clone, against qcow2 over a backing file. */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { GiB, KiB, MiB, sizeInWords } from '../../src/lib/units.js'
import { fill, patternFile, verifyAllocated } from '../load/fill.js'
import { fio } from '../load/fio.js'
import type { Case, Contender, Room, Stage } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { type NbdServer, qemuNbd } from '../servers/nbd_peers.js'

interface Clones {
  /** A clone that nobody has written to; the one before is gone. */
  fresh(): Promise<void>
  uri(): string
}

const qcow2Kinds: Record<string, string[]> = {
  'qcow2 default': [],
  'qcow2 extended_l2': ['-o', 'extended_l2=on,cluster_size=128k'],
}

const sizes = [
  { blockBytes: 4 * KiB, areaBytes: 256 * MiB, depth: 16 },
  { blockBytes: 64 * KiB, areaBytes: 512 * MiB, depth: 16 },
  { blockBytes: MiB, areaBytes: GiB, depth: 4 },
]

export const cowStage: Stage<Clones> = {
  name: 'first-write',
  title: 'First writes to a fresh clone (buffered, unix socket)',
  cases: sizes.map(
    ({ blockBytes, areaBytes, depth }): Case<Clones> => ({
      name: `first-write-${blockBytes / KiB}k`,
      title: `random ${sizeInWords(blockBytes)} over ${sizeInWords(areaBytes)}, depth ${depth}`,
      unit: 'op/s',
      better: 'more',
      quick: blockBytes === 4 * KiB,
      targets: [
        { kind: 'ratio', atLeast: 3, against: 'qcow2 default' },
        { kind: 'ratio', atLeast: 1.5, against: 'qcow2 extended_l2' },
      ],
      prepare: (clones) => clones.fresh(),
      run: async (clones) => {
        // Each block once, in random order (fio's default), and no time limit: all of them are first writes.
        const report = await fio({ uri: clones.uri() }, { pattern: 'randwrite', blockBytes, depth, areaBytes })
        return { value: report.operationsPerS, operations: report.operations }
      },
    }),
  ),
  open: async (room, wanted) => {
    const pattern = await patternFile(room.dir, GiB)
    const peers = Object.entries(qcow2Kinds).filter(([name]) => wanted(name))
    return [await openAtoll(room, pattern), ...peers.map(([name, options]) => openQcow2(room, pattern, name, options))]
  },
}

async function openAtoll(room: Room, pattern: string): Promise<Contender<Clones>> {
  const { api, dataDir, pid, uri, stop } = await startAtoll(join(room.dir, 'atoll'))
  const base = await api.createVolume()
  await fill(uri(base), pattern)
  await verifyAllocated(join(dataDir, 'store', 'data'), GiB)
  const snapshot_id = await api.createSnapshot({ volumeId: base })
  let clone: string | undefined
  const fresh = async () => {
    if (clone !== undefined) await api.delete('volumes', clone)
    clone = await api.createVolume({ snapshot_id })
  }
  const subject = { fresh, uri: () => uri(clone ?? '') }
  return { name: 'atoll', role: 'atoll', subject, serverPid: () => pid, close: stop }
}

function openQcow2(room: Room, base: string, name: string, options: string[]): Contender<Clones> {
  const file = join(room.dir, `${name.replace(' ', '-')}.qcow2`)
  let server: NbdServer | undefined
  const close = async () => {
    await server?.stop()
    server = undefined
  }
  const fresh = async () => {
    await close()
    await rm(file, { force: true })
    await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', ...options, file])
    server = await qemuNbd('qcow2', { dir: room.dir, file, transport: 'unix', cache: 'buffered' })
  }
  const subject = { fresh, uri: () => server?.uri ?? '' }
  return { name, role: 'peer', subject, serverPid: () => server?.pid, close }
}
