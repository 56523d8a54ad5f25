/**
 * The scrub: reads all content chunks again while the server serves, over and over, and compares them with their digests; so damage
 * on the disk is found while there may still be a copy somewhere. It changes nothing.
 *
 * It keeps out of the way: one thread of the lowest priority (native/engine/health/scrub.h), at most so many bytes a second, and after each
 * step a pause at least as long as the step took, so that it slows down with the disk. A small chunk costs a disk no less time than
 * a piece of a large one, so it counts as `seekBytes`.
 *
 * Chunks come in the order of their digests, which are spread evenly: the digest that it has come to is the progress of the pass.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Engine } from '../../engine/engine.js'
import type { BadChunk } from '../../engine/health.js'
import { asError } from '../../lib/errors.js'
import type { Logger } from '../../lib/log.js'
import { KiB } from '../../lib/units.js'
import { AffectedFinder, thingInWords } from './affected.js'
import { damages } from './damage.js'
import {
  affectedMax,
  type EndedScrubPass,
  findingsMax,
  newState,
  rangesMax,
  readState,
  type ScrubFinding,
  type ScrubPass,
  type ScrubState,
  writeState,
} from './scrub_state.js'

export interface ScrubSettings {
  /** 0: there is no scrub. */
  bytesPerSecond: number
  /** From the begin of one pass to that of the next; a pass that takes longer is followed by the next one at once. */
  intervalMs: number
}

export interface ScrubParts extends ScrubSettings {
  catalog: Catalog
  engine: Engine
  log: Logger
  /** The file that it goes on from. */
  statePath: string
}

/** Times are milliseconds since 1970. */
export interface ScrubReport {
  bytesPerSecond: number
  /** null: none is under way. `progress`: 0 to 1. */
  pass: (Omit<ScrubPass, 'after'> & { progress: number }) | null
  lastPass: EndedScrubPass | null
  /** null: one is under way, or there is no scrub. */
  nextPassAt: number | null
  /** Chunks that were bad when they were last read; the first of them when there are more than a pass keeps. */
  findings: ScrubFinding[]
  /** Why it cannot go on now. */
  problem: string | null
}

const chunksPerStep = 64
const seekBytes = 128 * KiB
const saveEveryMs = 30_000
const idleMsMin = 1000
// Timers hold no more than 24 days; and a clock that is set is noticed.
const idleMsMax = 3600_000
const failureWaitMsMax = 60_000

export class Scrub {
  readonly #parts: ScrubParts
  #state: ScrubState = newState()
  #problem: string | null = null
  #running: Promise<void> | undefined
  #stopping = false
  #wake: (() => void) | undefined
  #savedAt = 0
  #saveFailed = false
  #told: (() => void)[] = []

  constructor(parts: ScrubParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#parts.bytesPerSecond > 0) this.#running ??= this.#run()
  }

  /** Resolves when the step under way (4 MiB) has ended; the next start goes on from there. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake?.()
    await this.#running
  }

  report(): ScrubReport {
    const { bytesPerSecond } = this.#parts
    const { pass, lastPass, findings } = this.#state
    return {
      bytesPerSecond,
      pass: pass && withProgress(pass),
      lastPass,
      nextPassAt: bytesPerSecond === 0 || pass !== null ? null : Date.now() + this.#untilNextPassMs(),
      findings,
      problem: this.#problem,
    }
  }

  /** Resolves when its state has been read, and after each step (for tests). */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#told.push(resolve))
  }

  async #run(): Promise<void> {
    await this.#load()
    this.#tell()
    for (let failures = 0; !this.#stopping; ) {
      const idleMs = this.#state.pass === null ? this.#untilNextPassMs() : 0
      if (idleMs > 0) {
        await this.#pause(Math.min(idleMs, idleMsMax))
        continue
      }
      this.#state.pass ??= { startedAt: Date.now(), chunks: 0, bytes: 0, findings: 0, after: null }
      try {
        const pauseMs = await this.#step(this.#state.pass)
        failures = 0
        this.#problem = null
        this.#tell()
        await this.#pause(pauseMs)
      } catch (error) {
        this.#problem = asError(error).message
        if (failures === 0)
          this.#parts.log.error({ err: asError(error) }, 'the scrub of content cannot go on; it is tried again')
        this.#tell()
        await this.#pause(Math.min(1000 * 2 ** failures, failureWaitMsMax))
        failures += 1
      }
    }
    await this.#save()
    this.#tell()
  }

  /** Answers for how many milliseconds to leave the disk to others. */
  async #step(pass: ScrubPass): Promise<number> {
    const { engine, bytesPerSecond } = this.#parts
    const begin = performance.now()
    const { after } = pass
    const step = await engine.health.scrub({ after, maxChunks: chunksPerStep })
    const found: ScrubFinding[] = []
    const known = this.#state.findings.filter(({ chunk }) => !isBetween(chunk, after, step.end ? null : step.last))
    for (const bad of step.bad) {
      // Each costs a look at all records.
      if (known.length + found.length < findingsMax) found.push(await this.#describe(bad))
    }
    // All at once from here on: what is saved fits together.
    const gone = this.#state.findings.filter(
      (old) => !known.includes(old) && !found.some(({ chunk }) => chunk === old.chunk),
    )
    this.#state.findings = [...known, ...found]
    for (const finding of found) this.#log(finding)
    for (const { chunk } of gone)
      this.#parts.log.info({ chunk }, 'the content chunk is good again, or not needed any more')
    const before = pass.findings
    pass.findings += step.bad.length
    pass.chunks += step.chunks
    pass.bytes += step.bytes
    pass.after = step.last ?? after
    if (before < findingsMax && pass.findings > this.#state.findings.length)
      this.#parts.log.error(
        `there are more than ${findingsMax} damaged content chunks: further ones are counted, "atoll check --content" names all`,
      )
    if (step.end) this.#end(pass)
    if (step.end || found.length > 0 || performance.now() - this.#savedAt > saveEveryMs) await this.#save()
    const tookMs = performance.now() - begin
    return Math.max(tookMs, (1000 * Math.max(step.bytes, step.chunks * seekBytes)) / bytesPerSecond)
  }

  #end({ after: _, ...counted }: ScrubPass): void {
    const ended = { ...counted, endedAt: Date.now() }
    this.#state.pass = null
    this.#state.lastPass = ended
    const { chunks, bytes, findings } = ended
    const words = findings > 0 ? 'the scrub has read all content and found damage' : 'the scrub has read all content'
    if (chunks > 0) this.#parts.log.info({ chunks, bytes, findings, ms: ended.endedAt - ended.startedAt }, words)
  }

  async #describe({ chunk, kind, message }: BadChunk): Promise<ScrubFinding> {
    const { catalog, engine } = this.#parts
    const places = await engine.health.chunkPlaces(chunk)
    const finder = new AffectedFinder(catalog.db, (layer, region) => engine.health.recordBlocks(layer, region))
    const affected = await finder.byPlaces(places, { resourcesMax: affectedMax + 1 })
    return {
      ...{ kind, chunk, message },
      foundAt: Date.now(),
      layers: [...new Set(places.map(({ layer }) => layer))].slice(0, affectedMax),
      affected: affected
        .slice(0, affectedMax)
        .map(({ ranges, ...thing }) => ({ ...thing, ranges: ranges.slice(0, rangesMax) })),
      more: affected.length > affectedMax,
    }
  }

  #log({ kind, chunk, message, layers, affected, more }: ScrubFinding): void {
    const whom = affected.map(thingInWords)
    if (more) whom.push('more')
    const affects = whom.length > 0 ? whom.join('; ') : 'nothing that can be reached'
    this.#parts.log.error(
      { damage: kind, chunk, layers, affected },
      `DAMAGED: ${message}. Affects ${affects}. To do: ${damages[kind].todo}`,
    )
  }

  #untilNextPassMs(): number {
    const { lastPass } = this.#state
    if (lastPass === null) return 0
    const now = Date.now()
    // The clock was set back: as if it had begun now.
    lastPass.startedAt = Math.min(lastPass.startedAt, now)
    lastPass.endedAt = Math.min(lastPass.endedAt, now)
    return Math.max(lastPass.startedAt + this.#parts.intervalMs, lastPass.endedAt + idleMsMin) - now
  }

  async #load(): Promise<void> {
    const { engine, statePath: path, log } = this.#parts
    try {
      this.#state = await readState(path)
      for (const { chunk } of this.#state.findings) await engine.health.markBad(chunk)
    } catch (error) {
      log.warn({ err: asError(error), path }, 'where the scrub of content was cannot be read; it begins anew')
    }
    this.#savedAt = performance.now()
  }

  async #save(): Promise<void> {
    const { statePath: path, log } = this.#parts
    this.#savedAt = performance.now()
    try {
      await writeState(path, this.#state)
      this.#saveFailed = false
    } catch (error) {
      // A full disk, most often; it says so elsewhere too.
      if (!this.#saveFailed) log.warn({ err: asError(error), path }, 'where the scrub of content is cannot be kept')
      this.#saveFailed = true
    }
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopping) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #tell(): void {
    for (const resolve of this.#told.splice(0)) resolve()
  }
}

function withProgress({ after, ...counted }: ScrubPass) {
  return { ...counted, progress: after === null ? 0 : Number.parseInt(after.slice(0, 8), 16) / 2 ** 32 }
}

/** Behind `after` (null: the beginning) and up to `last` (null: the end; undefined: nothing was read). */
function isBetween(chunk: string, after: string | null, last: string | null | undefined): boolean {
  return (after === null || chunk > after) && (last === null || (last !== undefined && chunk <= last))
}
