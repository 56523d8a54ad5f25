/**
 * Raw twins: an image whose format is no disk as it is (qcow2) is converted once, when the first volume is made from it, into a read-only
 * resource with the bytes of its disk. Every volume of the image is a clone of that one.
 *
 * A volume that is made before the twin is there is `creating`, with blank bytes that nobody can attach; it gets its clone when the job
 * ends, or the status `error`. What there is to do follows from the catalog: jobs that have not ended, and volumes that are `creating`.
 */

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import type { ImageRow, ImageTwinRow, JobRow, VolumeRow } from '../../catalog/schema.js'
import type { Engine } from '../../engine/engine.js'
import { AtollError, asError } from '../../lib/errors.js'
import type { ImageId, ProjectId, ResourceId, VolumeId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import { blockBytes, GiB } from '../../lib/units.js'
import type { Exports } from '../exports/exports.js'
import { convertToRaw } from '../formats/jail.js'
import { changeJob, insertJob, nextJob, openJob, purgeJobs } from '../jobs/job_rows.js'
import type { Tree } from '../tree/tree.js'

export interface TwinParts {
  catalog: Catalog
  tree: Tree
  exports: Exports
  engine: Engine
  log: Logger
}

const attemptsMax = 3
/** After a failure of the catalog. */
const againMs = 60_000
const progressEveryMs = 1000
const socket = 'nbd.sock'

export function twinOf(db: Reader, image: ImageId): Promise<ImageTwinRow | undefined> {
  return db.selectFrom('image_twins').selectAll().where('id', '=', image).executeTakeFirst()
}

export class ImageTwins {
  readonly #parts: TwinParts
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #wanted = false
  #last: ProjectId | undefined
  /** Private to the conversions of this run. */
  #directory: string | undefined
  #warned = false

  /** What an earlier run left has been taken up. */
  #resumed = false
  #again: NodeJS.Timeout | undefined

  constructor(parts: TwinParts) {
    this.#parts = parts
  }

  /** In the transaction that makes a volume which waits for the twin of the image. */
  async request(tx: Transaction, image: ImageRow): Promise<void> {
    const there = (await twinOf(tx.db, image.id)) ?? (await openJob(tx.db, 'conversion', image.id))
    if (there === undefined)
      await insertJob(tx, { kind: 'conversion', projectId: image.owner, imageId: image.id, name: image.name })
    tx.afterCommit(() => this.#wake())
  }

  /** Takes up what an earlier run left. */
  start(): void {
    this.#running ??= this.#work()
  }

  /** Resolves when no job is under way. Nothing begins afterwards. */
  async stop(): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#again)
    await this.#running
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true })
  }

  /** Resolves when every job has ended (for tests). */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  #wake(): void {
    this.#wanted = true
    this.#running ??= this.#work()
  }

  async #resume(): Promise<void> {
    // What it gives back may be what a full disk needs.
    await this.#parts.catalog.reservedTransaction(async (tx) => {
      await purgeJobs(tx)
      const rows = await tx.db.selectFrom('jobs').selectAll().where('state', '=', 'running').execute()
      for (const row of rows) {
        await changeJob(tx, row.id, { state: 'queued', resource_id: null, size_bytes: null })
        if (row.resource_id !== null) await this.#parts.tree.release(tx, row.resource_id)
        if (row.attempts >= attemptsMax) await this.#failIn(tx, row, `it was interrupted ${row.attempts} times`)
      }
    })
  }

  /** Does not reject. */
  async #work(): Promise<void> {
    const { catalog, log } = this.#parts
    try {
      if (!this.#resumed) await this.#resume()
      this.#resumed = true
      while (!this.#stop.signal.aborted) {
        this.#wanted = false
        await this.#finishWaiting()
        const job = await nextJob(catalog.db, this.#last)
        if (job !== undefined) {
          this.#last = job.project_id
          await this.#convert(job)
        } else if (!this.#wanted) break
      }
    } catch (error) {
      log.error({ err: asError(error) }, 'conversions of images stopped; they go on in a minute')
      if (!this.#stop.signal.aborted) this.#again = setTimeout(() => this.#wake(), againMs).unref()
    } finally {
      this.#running = undefined
    }
  }

  async #convert(job: JobRow): Promise<void> {
    const { log } = this.#parts
    try {
      const started = await this.#begin(job)
      if (started === undefined) return
      await this.#run(job, started)
      await this.#end(job, started)
    } catch (error) {
      // The next start takes it up again.
      if (this.#stop.signal.aborted) return
      const { message } = asError(error)
      log.warn({ image: job.image_id, job: job.id, err: asError(error) }, 'an image could not be converted')
      const words = error instanceof AtollError ? message : 'an internal error; the server log has it'
      await this.#parts.catalog.reservedTransaction(async (tx) => {
        const row = await tx.db.selectFrom('jobs').selectAll().where('id', '=', job.id).executeTakeFirst()
        if (row !== undefined) await this.#failIn(tx, row, words)
      })
    }
  }

  /** A blank resource, which the job holds. undefined: there is nothing to convert any more. */
  async #begin(job: JobRow): Promise<{ image: ImageRow; output: ResourceId } | undefined> {
    const { catalog, tree } = this.#parts
    const image = await readImage(catalog.db, job.image_id)
    if ((await twinOf(catalog.db, job.image_id)) !== undefined) {
      // An earlier run made it, and was interrupted before it said so.
      await catalog.reservedTransaction((tx) => changeJob(tx, job.id, { state: 'done', progress: 100 }))
      return undefined
    }
    if (image?.resource_id == null || image.virtual_size_bytes === null) {
      await catalog.reservedTransaction((tx) => this.#failIn(tx, job, 'the image was deleted'))
      return undefined
    }
    const sizeBytes = Math.ceil(image.virtual_size_bytes / blockBytes) * blockBytes
    const output = await tree.createBlank({ sizeBytes, mode: 'rw' }, async (tx, resource) => {
      const change = {
        state: 'running',
        attempts: job.attempts + 1,
        resource_id: resource,
        size_bytes: sizeBytes,
      } as const
      await changeJob(tx, job.id, { ...change, progress: 0 })
      return resource
    })
    return { image, output }
  }

  async #run(job: JobRow, { image, output }: { image: ImageRow; output: ResourceId }): Promise<void> {
    const { catalog, engine, exports, log } = this.#parts
    const directory = await this.#listen()
    const source = exports.openPrivately(image.resource_id as ResourceId, {
      readOnly: true,
      label: `${image.id}/conversion`,
    })
    const target = exports.openPrivately(output, { readOnly: false, label: `${image.id}/twin` })
    let shownMs = Date.now()
    let saving: Promise<unknown> = Promise.resolve()
    const onProgress = (progress: number) => {
      if (Date.now() - shownMs < progressEveryMs) return
      shownMs = Date.now()
      const save = () => catalog.transaction((tx) => changeJob(tx, job.id, { progress }))
      saving = saving.then(save).catch((error: unknown) => log.warn({ err: asError(error) }, 'progress is not saved'))
    }
    try {
      const conversion = {
        directory,
        socket,
        source,
        target,
        driver: 'qcow2',
        signal: this.#stop.signal,
        onProgress,
      } as const
      const { namespaces } = await convertToRaw(conversion)
      if (!namespaces && !this.#warned) {
        this.#warned = true
        log.warn('user namespaces are not available: conversions of images run with fewer restrictions')
      }
    } finally {
      await saving
      exports.closePrivately([source, target])
      await engine.nbd.disconnect(source)
      await engine.nbd.disconnect(target)
    }
  }

  /** The output becomes the twin, unless the image was deleted meanwhile. */
  async #end(job: JobRow, { image, output }: { image: ImageRow; output: ResourceId }): Promise<void> {
    const { catalog, tree } = this.#parts
    const { name } = image
    const there = await tree.snapshot(output, async (tx, resource) => {
      if ((await readImage(tx.db, image.id)) === undefined) {
        await tree.release(tx, resource)
        return false
      }
      const sizeBytes = await tree.sizeOf(tx.db, resource)
      const row = { id: image.id, name, resource_id: resource, size_bytes: sizeBytes, created_at: Date.now() }
      await tx.db.insertInto('image_twins').values(row).execute()
      return true
    })
    // Not in the same transaction: the snapshot's source goes on after it.
    await catalog.reservedTransaction(async (tx) => {
      if (!there) return this.#failIn(tx, { ...job, resource_id: output }, 'the image was deleted')
      await changeJob(tx, job.id, { state: 'done', progress: 100, resource_id: null, size_bytes: null })
      await tree.release(tx, output)
    })
  }

  /** Ends the job, and the wait of the volumes. */
  async #failIn(tx: Transaction, job: JobRow, message: string): Promise<void> {
    await changeJob(tx, job.id, { state: 'error', message, resource_id: null, size_bytes: null })
    await tx.db
      .updateTable('volumes')
      .set({ status: 'error', updated_at: Date.now() })
      .where('status', '=', 'creating')
      .where('image_id', '=', job.image_id)
      .execute()
    const held = await tx.db.selectFrom('resources').select('id').where('id', '=', job.resource_id).executeTakeFirst()
    if (held !== undefined) await this.#parts.tree.release(tx, held.id)
  }

  /** Volumes whose twin is there get their clones. */
  async #finishWaiting(): Promise<void> {
    const { catalog } = this.#parts
    const waiting = await catalog.db
      .selectFrom('volumes')
      .innerJoin('image_twins', 'image_twins.id', 'volumes.image_id')
      .select(['volumes.id', 'volumes.size_gib', 'volumes.resource_id', 'image_twins.resource_id as twin'])
      .where('volumes.status', '=', 'creating')
      .execute()
    for (const volume of waiting) {
      if (this.#stop.signal.aborted) return
      await this.#finish(volume.id, volume)
    }
  }

  async #finish(
    id: VolumeId,
    volume: Pick<VolumeRow, 'size_gib' | 'resource_id'> & { twin: ResourceId },
  ): Promise<void> {
    const { tree, exports } = this.#parts
    const { resource_id: blank } = volume
    const give = async (tx: Transaction, resource: ResourceId) => {
      const change = { resource_id: resource, status: 'available', updated_at: Date.now() } as const
      const given = await tx.db
        .updateTable('volumes')
        .set(change)
        .where('id', '=', id)
        .where('status', '=', 'creating')
        .where('resource_id', '=', blank)
        .executeTakeFirst()
      // Deleted meanwhile, or taken out of the wait by an administrator.
      await tree.release(tx, given.numUpdatedRows > 0n ? blank : resource)
    }
    await tree.locked(blank, () => tree.clone(volume.twin, { sizeBytes: volume.size_gib * GiB }, give))
    await exports.end([id])
  }

  /** Returns the directory of the socket that the tool connects to; it exists as long as this run. */
  async #listen(): Promise<string> {
    if (this.#directory !== undefined) return this.#directory
    const directory = mkdtempSync(join(tmpdir(), 'atoll-conversion-'))
    chmodSync(directory, 0o711)
    const path = join(directory, socket)
    await this.#parts.engine.nbd.listen({ address: `unix:${path}`, door: 'tenant' })
    // For the tool, which is another user. Export names are secrets that live as long as one conversion.
    chmodSync(path, 0o666)
    this.#directory = directory
    return directory
  }
}

function readImage(db: Reader, id: ImageId): Promise<ImageRow | undefined> {
  return db.selectFrom('images').selectAll().where('id', '=', id).executeTakeFirst()
}
