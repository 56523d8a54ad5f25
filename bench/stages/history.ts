/** What a long history costs: reads behind many living snapshots, and writes while snapshots are taken. */

import { join } from 'node:path'
import { KiB, MiB } from '../../src/lib/units.js'
import { fill, patternFile } from '../load/fill.js'
import { fio } from '../load/fio.js'
import { nbdClient } from '../load/nbd_client.js'
import type { Case, Contender, Room, Stage } from '../plan.js'
import { type AtollServer, startAtoll } from '../servers/atoll.js'

const areaBytes = 256 * MiB

// ---- reads by depth ----

/** The URI of a disk behind so many snapshots, which are taken when they are first needed. */
type Depths = (depth: number) => Promise<string>

const depths = [1, 10, 100, 1000]

export const depthStage: Stage<Depths> = {
  name: 'depth',
  title: 'Random reads by length of history (4 KiB, depth 16, buffered, unix socket)',
  cases: depths.map(
    (depth): Case<Depths> => ({
      name: `depth-${depth}`,
      title: `${depth} living snapshot${depth > 1 ? 's' : ''}`,
      unit: 'op/s',
      better: 'more',
      quick: depth === 100,
      readsFrom: 'page cache',
      prepare: async (uri) => void (await uri(depth)),
      targets: depth > 1 ? [{ kind: 'ratio', atLeast: 0.95, against: 'depth 1' }] : [],
      run: async (uri, { seconds }) => {
        const report = await fio({ uri: await uri(depth) }, { ...small, pattern: 'randread', seconds })
        return { value: report.operationsPerS, operations: report.operations, bytesRead: report.bytes }
      },
    }),
  ),
  open: async (room) => {
    const atoll = await startAtoll(join(room.dir, 'atoll'))
    const history = await makeHistory(room, atoll)
    const at = async (depth: number) => atoll.uri(await history(depth))
    const common = { serverPid: () => atoll.pid }
    return [
      { ...common, name: 'atoll', role: 'atoll', subject: at, close: atoll.stop },
      { ...common, name: 'depth 1', role: 'ceiling', subject: () => at(1), close: async () => {} },
    ]
  },
}

const small = { blockBytes: 4 * KiB, depth: 16, areaBytes }

/** A full volume, and 8 blocks written between one snapshot and the next. Answers the id of the one at a depth; 1 is the oldest. */
async function makeHistory(room: Room, { api, uri }: AtollServer): Promise<(depth: number) => Promise<string>> {
  const volumeId = await api.createVolume()
  await fill(uri(volumeId), await patternFile(room.dir, areaBytes))
  const snapshots: string[] = []
  return async (depth) => {
    while (snapshots.length < depth) {
      snapshots.push(await api.createSnapshot({ volumeId }))
      await nbdClient(['stride', 'write', uri(volumeId), areaBytes / 8, 8])
    }
    return snapshots[depth - 1] ?? ''
  }
}

// ---- writes under snapshots ----

interface Written {
  uri: string
  snapshot(): Promise<void>
}

const writeTitle = 'randwrite 4 KiB, depth 16, a snapshot every second'

export const snapshotsStage: Stage<Written> = {
  name: 'snapshots-under-load',
  title: 'Random writes while snapshots are taken (buffered, unix socket)',
  cases: [
    {
      name: 'snapshots-writes',
      title: writeTitle,
      unit: 'op/s',
      better: 'more',
      quick: true,
      run: async (written, { seconds }) => {
        const { report, count } = await writeUnderSnapshots(written, seconds)
        return { value: report.operationsPerS, operations: report.operations, more: { snapshots: count } }
      },
    },
    {
      name: 'snapshots-latency',
      title: `${writeTitle}: 99.9th percentile of latency`,
      unit: 'ms',
      better: 'less',
      quick: true,
      targets: [{ kind: 'value', atMost: 10 }],
      run: async (written, { seconds }) => {
        const { report } = await writeUnderSnapshots(written, seconds)
        return { value: report.p999Us / 1000, more: { 'longest ms': report.maxUs / 1000 } }
      },
    },
  ],
  open: async (room) => {
    const atoll = await startAtoll(join(room.dir, 'atoll'))
    const contender = async (name: string, role: 'atoll' | 'ceiling'): Promise<Contender<Written>> => {
      const volumeId = await atoll.api.createVolume()
      await fill(atoll.uri(volumeId), await patternFile(room.dir, areaBytes))
      const snapshot = async () => {
        if (role === 'atoll') await atoll.api.createSnapshot({ volumeId })
      }
      const close = role === 'atoll' ? atoll.stop : async () => {}
      return { name, role, subject: { uri: atoll.uri(volumeId), snapshot }, serverPid: () => atoll.pid, close }
    }
    return [await contender('atoll', 'atoll'), await contender('no snapshots', 'ceiling')]
  },
}

async function writeUnderSnapshots({ uri, snapshot }: Written, seconds: number) {
  const snapshots: Promise<void>[] = []
  const timer = setInterval(() => snapshots.push(snapshot()), 1000)
  try {
    const report = await fio({ uri }, { ...small, pattern: 'randwrite', seconds: Math.max(3, seconds) })
    return { report, count: snapshots.length }
  } finally {
    clearInterval(timer)
    await Promise.all(snapshots)
  }
}
