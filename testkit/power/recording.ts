// recording.ts: a server under load on a recording disk. NBD writes over two connections, uploads, snapshots, clones and their
// deletion go on at once; the server is killed and started again in between, so that recoveries are recorded too.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GiB } from '../../src/lib/units.js'
import { Api } from '../api.js'
import { startServerProcess } from '../server_process.js'
import type { Environment } from '../stock_clients.js'
import { Churn } from '../load/churn.js'
import { Writer } from '../load/writer.js'
import type { Cleanup } from './cleanup.js'
import { type FileSystem, RecordingDisk, Scratch } from './disk.js'
import { forgetfulSync } from './programs.js'

export interface RecordingOptions {
  fileSystem: FileSystem
  seed: string
  /** How often the server is started and put under load. It is killed after each. */
  lives: number
  /** For how long each time. */
  lifeMs: number
  /** The server does not sync files whose path holds this word: what the cuts are to find out. */
  forgetting?: string
}

/** What was recorded, and what judges the cuts. */
export interface Recording {
  fileSystem: FileSystem
  scratch: Scratch
  writer: Writer
  churn: Churn
  volumeId: string
  /** As the first start gave it out. */
  login: Environment
  /** Digests (Writer.digest) of snapshots by their names, and of a volume that nobody wrote to. */
  digests: Map<string, string>
  blankDigest: string
  /** From here on the file system is there, */
  mountedAt: number
  /** the server has said that it serves, */
  servingAt: number
  /** and there is what the load needs. */
  preparedAt: number
  endedAt: number
  /** Under load: NBD writes, trims and flushes that were answered, and API steps. */
  answered: { writes: number; flushes: number; steps: number }
}

const places = 160

/** The scratch folder and the writer go with `cleanup`. */
export async function record(cleanup: Cleanup, options: RecordingOptions): Promise<Recording> {
  const { fileSystem, seed, lives, lifeMs } = options
  const scratch = await Scratch.make()
  cleanup.teardown(() => scratch.remove())
  const disk = await RecordingDisk.begin(scratch, fileSystem)
  let recording = true
  cleanup.teardown(() => (recording ? disk.end() : undefined))
  const mountedAt = disk.position()

  const server = await startServerProcess(cleanup, {
    dataDir: join(scratch.mount, 'data'),
    ...(options.forgetting && (await forgetful(options.forgetting))),
  })
  const servingAt = disk.position()
  const login = await server.environment()
  const api = await Api.login(login)
  const volumeId = await api.createVolume({ name: 'under load' })
  const shape = { sizeBytes: GiB, seed, places }
  const writer = new Writer({ ...shape, positionFile: scratch.positionFile })
  cleanup.teardown(() => writer.end())
  const reader = new Writer(shape)
  cleanup.teardown(() => reader.end())
  const uri = server.operatorUri(volumeId)
  const digests = new Map<string, string>()
  let dying = false
  const onSnapshot = async ({ id, name }: { id: string; name: string }) => {
    await reader.digest(server.operatorUri(id)).then(
      (digest) => digests.set(name, digest),
      (error) => {
        if (!dying) throw error
      },
    )
  }
  const churn = new Churn({ volumeId, position: () => disk.position(), onSnapshot })
  const blankDigest = await reader.digest(uri)
  await churn.prepare(api)
  const preparedAt = disk.position()

  const answered = { writes: 0, flushes: 0, steps: 0 }
  for (let life = 1; life <= lives; life++) {
    const load = await writer.load(uri, 600)
    dying = false
    const churned = churn.untilTheServerDies(await Api.login(login))
    // What fails before its time is told at once, not after.
    await Promise.race([sleep(lifeMs), churned])
    dying = true
    await server.kill()
    const { died, answered: writes, flushes, failed } = await load.ended
    await churned
    if (!died || failed.length > 0) throw new Error(`writes were refused: ${failed.join(', ')}`)
    answered.writes += writes
    answered.flushes += flushes
    if (life < lives) await server.start()
  }
  answered.steps = churn.answered
  const endedAt = disk.position()
  await disk.end()
  recording = false
  return {
    ...{ fileSystem, scratch, writer, churn, volumeId, login, digests, blankDigest },
    ...{ mountedAt, servingAt, preparedAt, endedAt, answered },
  }
}

async function forgetful(word: string) {
  const environment = { LD_PRELOAD: await forgetfulSync(), ATOLL_FORGETS: word }
  return { arguments: ['--io', 'threads'], environment }
}
