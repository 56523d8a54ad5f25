// cuts.ts: power cuts at random points of a recording, each one judged: the file system is mounted as it then was, the server
// is started on it, and whatever was answered before that point must be there.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Api } from '../api.js'
import { atoll, type ServerProcess, startServerProcess } from '../server_process.js'
import { Cleanup } from './cleanup.js'
import { Cutter, type Keep, keeps } from './disk.js'
import type { Recording } from './recording.js'

export interface Cut {
  /** So many entries of the log were made. */
  position: number
  keep: Keep
  seed: number
}

export interface Judged extends Cut {
  /** What became of the writes that no flush followed. */
  unflushed: string
  /** What is wrong, in words. */
  wrong: string[]
  ms: number
}

/** Cuts to make under load, the earliest first. `startToo`: one in ten, the first of all, falls into the first start. */
export function chooseCuts(
  { mountedAt, preparedAt, endedAt }: Recording,
  { count, seed, startToo = true }: { count: number; seed: string; startToo?: boolean },
): Cut[] {
  const cuts = Array.from({ length: count }, (_, n) => {
    const random = createHash('sha256').update(`${seed} cut ${n}`).digest()
    const [from, to] = startToo && n % 10 === 0 ? [mountedAt, preparedAt] : [preparedAt, endedAt]
    const position = from + Math.floor((random.readUInt32LE(0) / 2 ** 32) * (to - from + 1))
    return { position, keep: keeps[random.readUInt8(4) % keeps.length] as Keep, seed: random.readUInt32LE(5) }
  })
  return cuts.sort((a, b) => a.position - b.position)
}

/** Makes the cuts one after the other and judges each. */
export async function* judgeCuts(recording: Recording, cuts: readonly Cut[]): AsyncGenerator<Judged> {
  const cutter = await Cutter.begin(recording.scratch)
  try {
    for (const cut of cuts) {
      const begin = performance.now()
      const unflushed = await cutter.mount(cut)
      const wrong = await judge(recording, cut)
      await cutter.unmount()
      yield { ...cut, unflushed, wrong, ms: performance.now() - begin }
    }
  } finally {
    await cutter.unmount()
    await cutter.end()
  }
}

async function judge(recording: Recording, cut: Cut): Promise<string[]> {
  const cleanup = new Cleanup()
  const dataDir = join(recording.scratch.mount, 'data')
  const wrong: string[] = []
  try {
    // The check takes a store as the cut left it, or as a start has tidied it up: each in turn.
    if (cut.seed % 2 === 0 && cut.position >= recording.servingAt) wrong.push(...(await checked(dataDir)))
    const server = await startServerProcess(cleanup, { dataDir })
    const login = await server.environment()
    const api = await Api.login(login)
    if (cut.position >= recording.servingAt && login['OS_PASSWORD'] !== recording.login['OS_PASSWORD'])
      wrong.push('the password of the first start is another one now')
    if (cut.position >= recording.preparedAt) wrong.push(...(await answersAreKept(recording, cut, server, api)))
    await server.stop()
    wrong.push(...(await checked(dataDir)))
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error))
  } finally {
    await cleanup.run()
  }
  return wrong
}

async function answersAreKept(recording: Recording, cut: Cut, server: ServerProcess, api: Api): Promise<string[]> {
  const { writer, churn, volumeId, digests, blankDigest } = recording
  const uri = server.operatorUri(volumeId)
  const { badCount, bad } = await writer.verifyAt(cut.position, uri)
  const wrong = badCount === 0 ? [] : [`${badCount} sectors of the volume: ${bad.join('; ')}`]
  wrong.push(...(await churn.judge(api, cut.position)))
  for (const { id, name } of await api.list('snapshots')) {
    const digest = await writer.digest(server.operatorUri(id))
    // One whose answer nobody got has no digest yet; its bytes are the same after every cut all the same.
    if ((digests.get(name) ?? digest) !== digest) wrong.push(`snapshot ${name} is not what it was`)
    digests.set(name, digest)
  }
  // What the store gives out from now on is not mixed up with what the cut left.
  const fresh = await api.createVolume({ name: 'after the cut' })
  if ((await writer.digest(server.operatorUri(fresh))) !== blankDigest) wrong.push('a new volume has old bytes')
  const snapshot = await api.createSnapshot({ volumeId, name: 'after the cut' })
  if ((await writer.digest(server.operatorUri(snapshot))) !== (await writer.digest(uri)))
    wrong.push('a snapshot differs from its volume')
  return wrong
}

async function checked(dataDir: string): Promise<string[]> {
  const { exitCode, all } = await atoll('check', '--content', '--data', dataDir)
  if (exitCode === 0) return []
  const lines = all.split('\n')
  return [`atoll check: ${[...lines.slice(0, 5), lines.at(-1)].join('\n')}`]
}
