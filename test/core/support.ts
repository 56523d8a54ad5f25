/** A real store (real engine, real catalog) in a scratch folder, without any door. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Core } from '../../src/core/core.js'
import type { ProjectCaller } from '../../src/core/model/records.js'
import { callerNow } from '../../src/core/policy/rights.js'
import { openStore, type Store } from '../../src/core/store.js'
import { silentLogger } from '../../src/lib/log.js'
import { catalogUrl } from '../../testkit/catalogs.js'

export interface Teardown {
  teardown(end: () => unknown): unknown
}

export class TestStore {
  readonly dataDir = mkdtempSync(join(tmpdir(), 'atoll-core-'))
  readonly #catalogUrl: string | undefined
  #store: Store | undefined

  private constructor(url: string | undefined) {
    this.#catalogUrl = url
  }

  static async open(t: Teardown): Promise<TestStore> {
    const store = new TestStore(await catalogUrl())
    await store.#open()
    t.teardown(async () => {
      await store.#store?.close()
      rmSync(store.dataDir, { recursive: true, force: true })
    })
    return store
  }

  async #open(): Promise<void> {
    this.#store = await openStore({
      dataDir: this.dataDir,
      catalog: this.#catalogUrl,
      log: silentLogger(),
      reactors: 1,
    })
  }

  get core(): Core {
    return (this.#store as Store).core
  }

  /** Another core over the same catalog and engine, as a second server would be: it shares no lock with the first. */
  async secondCore(t: Teardown): Promise<Core> {
    const { catalog, engine } = this.core
    const scrub = { bytesPerSecond: 0, intervalMs: 0, statePath: join(this.dataDir, 'second-scrub.json') }
    const core = await Core.open({ catalog, engine, log: silentLogger(), scrub })
    t.teardown(() => core.close())
    return core
  }

  /** As after an orderly end; `background` false: without the sweep. */
  async restart({ background = true }: { background?: boolean } = {}): Promise<void> {
    await this.#store?.close()
    await this.#open()
    if (background) this.core.startBackground()
  }

  /** Ends it before the test does; the folder stays until then. */
  async close(): Promise<void> {
    await this.#store?.close()
    this.#store = undefined
  }

  /** A user of this role in a project of this name. */
  async caller(name: string, role: 'admin' | 'member' | 'reader' = 'member', project = name): Promise<ProjectCaller> {
    const { identity } = this.core
    const user = await identity.createMember({ user: { name, password: 'a password' }, project, role })
    const caller = await callerNow(this.core.catalog.db, user.id, { projectId: user.defaultProjectId })
    if (caller?.project === undefined) throw new Error('the user has no role in the project')
    return { ...caller, project: caller.project }
  }

  /** Layers in the catalog and in the engine, when everything that can be freed has been. */
  async layersLeft(): Promise<{ rows: number; engine: number }> {
    await this.core.settled()
    const rows = await this.core.catalog.db.selectFrom('layers').select('id').execute()
    return { rows: rows.length, engine: (await this.core.engine.layers.list()).length }
  }
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces)
}

export async function* pieces(...parts: (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield Buffer.from(part)
}

/** Numbers that the same seed gives again (mulberry32). */
export class Dice {
  #state: number

  constructor(readonly seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end)
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }
}

/** `ATOLL_SEED` replays a failure. */
export function newDice(t: { comment(text: string): unknown }): Dice {
  const seed = Number(process.env.ATOLL_SEED ?? Date.now() % 1_000_000)
  t.comment(`ATOLL_SEED=${seed}`)
  return new Dice(seed)
}

/** For `t.rejects`: an error of this status, whatever its code. */
export const refused = (status: number): Error => ({ status }) as unknown as Error
