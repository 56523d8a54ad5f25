/**
 * Which uploads may run at one time: a number of places, shared between projects.
 *
 * Invariants
 *   1. A project may begin an upload as long as it has fewer than there are free places: alone it has half of them at most, two projects
 *      have a third each, and so on. So some are free for projects that have none yet.
 *   2. A project without an upload always gets one, unless every place belongs to a project that has no other: when no place is
 *      free, the slowest upload of the project that has the most is ended for it.
 */

import { UploadDisplaced } from './errors.js'

export interface RunningUpload {
  readonly project: string
  /** How much its client brings in the time in which it is waited for. */
  readonly bytesPerSecond: number
  /** It has lost its place, and is to end soon. */
  end(why: Error): void
}

export class UploadShares {
  readonly #places: number
  /** Those that hold a place, by project. */
  readonly #running = new Map<string, Set<RunningUpload>>()
  #count = 0

  constructor(places: number) {
    this.#places = places
  }

  /** Gives it a place, perhaps that of another project's upload. False: there is none for it. */
  begin(upload: RunningUpload): boolean {
    const own = this.#running.get(upload.project) ?? new Set<RunningUpload>()
    if (own.size >= this.#places - this.#count) {
      const victim = own.size === 0 ? this.#slowestOfMost() : undefined
      if (victim === undefined) return false
      this.end(victim)
      victim.end(new UploadDisplaced())
    }
    this.#running.set(upload.project, own.add(upload))
    this.#count += 1
    return true
  }

  /** Its place is free. Idempotent. */
  end(upload: RunningUpload): void {
    const own = this.#running.get(upload.project)
    if (!own?.delete(upload)) return
    if (own.size === 0) this.#running.delete(upload.project)
    this.#count -= 1
  }

  /** undefined: no project has more than one. Of several that are as slow the youngest: it loses least. */
  #slowestOfMost(): RunningUpload | undefined {
    let most = new Set<RunningUpload>()
    for (const uploads of this.#running.values()) if (uploads.size > most.size) most = uploads
    if (most.size < 2) return undefined
    return [...most].reduce((slowest, upload) => (upload.bytesPerSecond <= slowest.bytesPerSecond ? upload : slowest))
  }
}
