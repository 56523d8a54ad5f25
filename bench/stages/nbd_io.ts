/** Reads and writes over NBD, on data that is there: one stage for each transport and cache mode. */

import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GiB, KiB, MiB, sizeInWords } from '../../src/lib/units.js'
import { createQcow2, fill, patternFile, verifyAllocated, warm } from '../load/fill.js'
import { type FioTarget, fio, type Load } from '../load/fio.js'
import type { Case, Contender, Room, Sample, Stage, Target } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { type CacheMode, nbdServers, type Transport } from '../servers/nbd_peers.js'

/** What is read and written; in memory as a whole where the page cache has it. */
const areaOf = (room: Room): number => (room.quick ? GiB / 4 : GiB)

interface Disk {
  target: FioTarget
  areaBytes: number
}

interface Workload extends Omit<Load, 'areaBytes'> {
  name: string
  title: string
  unit: 'op/s' | 'MiB/s'
  targets: Target[]
  quick?: boolean
}

const randomTargets: Target[] = [
  { kind: 'ratio', atLeast: 1.5 },
  { kind: 'cpu', atMost: 0.7 },
]
const flushTargets: Target[] = [{ kind: 'ratio', atLeast: 1 }]
const quickOnes = [
  'randread-4k-d1',
  'randread-4k-d16',
  'randwrite-4k-d16',
  'read-1024k-d4',
  'write-1024k-d4',
  'write-flush16-4k-d16',
]

export const nbdIoStages: Stage<Disk>[] = (['buffered', 'direct'] as const).flatMap((cache) =>
  (['unix', 'tcp'] as const).map((transport) => stageOf(cache, transport)),
)

function stageOf(cache: CacheMode, transport: Transport): Stage<Disk> {
  const name = `${cache}-${transport}`
  return {
    name,
    title: `NBD, ${cache}, ${transport === 'unix' ? 'unix socket' : 'TCP loopback'}`,
    cases: workloads().map((workload) => caseOf(workload, cache, name)),
    open: (room, wanted) => open(room, wanted, cache, transport),
  }
}

type Shape = Pick<Workload, 'pattern' | 'blockBytes' | 'depth' | 'unit' | 'targets' | 'more'>

function workloads(): Workload[] {
  const random: Shape[] = [4 * KiB, 64 * KiB].flatMap((blockBytes) =>
    ['randread', 'randwrite'].flatMap((pattern) =>
      [1, 16, 64].map((depth) => ({ pattern, blockBytes, depth, unit: 'op/s', targets: randomTargets })),
    ),
  )
  const sequential: Shape[] = ['read', 'write'].map((pattern) => ({
    pattern,
    blockBytes: MiB,
    depth: 4,
    unit: 'MiB/s',
    targets: [{ kind: 'ratio', atLeast: 1.2 }],
  }))
  const others: Shape[] = [
    {
      pattern: 'randrw',
      blockBytes: 4 * KiB,
      depth: 16,
      unit: 'op/s',
      targets: randomTargets,
      more: ['--rwmixread=70'],
    },
    {
      pattern: 'randwrite',
      blockBytes: 4 * KiB,
      depth: 16,
      unit: 'op/s',
      targets: flushTargets,
      more: ['--fsync=16'],
    },
  ]
  return [1, 4].flatMap((connections) =>
    [...random, ...sequential, ...others].map((load): Workload => {
      const { pattern, blockBytes, depth, more = [] } = load
      const verb = more.includes('--fsync=16') ? 'write-flush16' : more.length > 0 ? 'mix70-30' : pattern
      const quick = connections === 1 && quickOnes.includes(`${verb}-${blockBytes / KiB}k-d${depth}`)
      return {
        ...load,
        connections,
        more,
        quick,
        name: `${verb}-${blockBytes / KiB}k-d${depth}-c${connections}`,
        title: `${verb} ${sizeInWords(blockBytes)}, depth ${depth}, ${connections} connection${connections > 1 ? 's' : ''}`,
      }
    }),
  )
}

function caseOf(workload: Workload, cache: CacheMode, stage: string): Case<Disk> {
  const { name, title, unit, pattern, depth, quick } = workload
  const reads = pattern === 'read' || pattern === 'randread'
  const ceiling: Target[] =
    cache === 'direct' && pattern === 'randread' && depth === 64
      ? [{ kind: 'ratio', atLeast: 0.9, against: 'file' }]
      : []
  return {
    name: `${name}-${stage}`,
    title,
    unit,
    better: 'more',
    targets: [...workload.targets, ...ceiling],
    quick: quick === true && (stage === 'buffered-unix' || (stage === 'direct-unix' && name === 'randread-4k-d16-c1')),
    ...(reads && { readsFrom: cache === 'buffered' ? 'page cache' : 'disk' }),
    prepare: async ({ target }) => {
      if (reads && cache === 'buffered' && 'uri' in target) await warm(target.uri)
    },
    run: async ({ target, areaBytes }, { seconds }): Promise<Sample> => {
      const report = await fio(target, { ...workload, areaBytes, seconds })
      return {
        value: unit === 'op/s' ? report.operationsPerS : report.bytesPerS / MiB,
        operations: report.operations,
        bytesRead: reads ? report.bytes : 0,
      }
    },
  }
}

async function open(
  room: Room,
  wanted: (peer: string) => boolean,
  cache: CacheMode,
  transport: Transport,
): Promise<Contender<Disk>[]> {
  const areaBytes = areaOf(room)
  const pattern = await patternFile(room.dir, areaBytes)
  const contenders = [await openAtoll(room, pattern, cache, transport)]
  for (const [name, { modes, format, serve }] of Object.entries(nbdServers)) {
    if (!wanted(name)) continue
    if (!modes.includes(cache)) {
      room.note(`${name} has no ${cache} mode`)
      continue
    }
    const file = join(room.dir, `${name.replaceAll(' ', '-')}.img`)
    await (format === 'raw' ? blankFile(file, areaBytes) : createQcow2(file, areaBytes))
    const server = await serve({ dir: room.dir, file, transport, cache })
    await fill(server.uri, pattern)
    await verifyAllocated(file, areaBytes)
    const { uri, pid, stop } = server
    contenders.push({ name, role: 'peer', subject: { target: { uri }, areaBytes }, serverPid: () => pid, close: stop })
  }
  if (wanted('file')) {
    const target = { file: pattern, direct: cache === 'direct' }
    contenders.push({ name: 'file', role: 'ceiling', subject: { target, areaBytes }, close: async () => {} })
  }
  return contenders
}

async function openAtoll(
  room: Room,
  pattern: string,
  cache: CacheMode,
  transport: Transport,
): Promise<Contender<Disk>> {
  const atoll = await startAtoll(join(room.dir, 'atoll'), ['--cache', cache])
  const volume = await atoll.api.createVolume()
  const uri = transport === 'unix' ? atoll.uri(volume) : (await atoll.api.attach(volume)).uri
  await fill(uri, pattern)
  const areaBytes = areaOf(room)
  await verifyAllocated(join(atoll.dataDir, 'store', 'data'), areaBytes)
  return {
    name: 'atoll',
    role: 'atoll',
    subject: { target: { uri }, areaBytes },
    serverPid: () => atoll.pid,
    close: atoll.stop,
  }
}

/** All hole. */
async function blankFile(path: string, sizeBytes: number): Promise<void> {
  await writeFile(path, '')
  await truncate(path, sizeBytes)
}
