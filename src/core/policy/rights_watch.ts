/**
 * Ends what is under way (uploads, downloads, NBD connections) when the rights that it began with have ended.
 *
 * The catalog is asked every second: a role can be taken away by any process that shares it. It is asked once for each distinct
 * holder of rights, and only when somebody committed something or something began since the last time.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import { AtollError, asError } from '../../lib/errors.js'
import type { ProjectId, UserId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import { TokenInvalid } from '../model/errors.js'
import type { Caller } from '../model/records.js'
import { requireStill, servesAttachment } from './rights.js'

/** Called at most once. Must not throw. */
type End = (reason: AtollError) => void

interface Holder {
  /** Rejects with an AtollError when the rights have ended. */
  check(db: Reader): Promise<void>
  readonly ends: Set<End>
}

const everyMs = 1000

export class RightsWatch {
  readonly #catalog: Catalog
  readonly #log: Logger
  readonly #holders = new Map<string, Holder>()
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  /** The version of the catalog at which all holders were checked; undefined: some were not. */
  #checked: number | undefined
  /** How often watching has begun. */
  #begun = 0
  /** The look under way. One that takes longer than `everyMs` is not joined by a second. */
  #looking: Promise<void> | undefined

  constructor(parts: { catalog: Catalog; log: Logger }) {
    this.#catalog = parts.catalog
    this.#log = parts.log
  }

  /** Calls `end` when the caller has lost a right. Returns what stops watching. */
  caller(caller: Caller, end: End): () => void {
    const { user, project, domain, system, credentialId, isAdmin, canWrite, canRead, grant } = caller
    const scope = project?.id ?? domain?.id ?? (system ? 'system' : '')
    const rights = `${isAdmin} ${canWrite} ${canRead} ${grant?.key ?? ''}`
    return this.#watch(
      `${user.id} ${scope} ${credentialId ?? ''} ${rights}`,
      (db) => (grant === undefined ? requireStill(db, caller) : grant.require(db, grant.container)),
      end,
    )
  }

  /** Calls `end` when attachments of this user in this project are no longer served. Returns what stops watching. */
  attachment({ userId, projectId }: { userId: UserId | null; projectId: ProjectId }, end: End): () => void {
    const check = async (db: Reader) => {
      if (!(await servesAttachment(db, userId, projectId))) throw new TokenInvalid()
    }
    return this.#watch(`${userId ?? ''} ${projectId}`, check, end)
  }

  /** For good: the catalog is closed next. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#looking
  }

  #watch(key: string, check: Holder['check'], end: End): () => void {
    let holder = this.#holders.get(key)
    if (holder === undefined) {
      holder = { check, ends: new Set() }
      this.#holders.set(key, holder)
    }
    const { ends } = holder
    ends.add(end)
    // The rights may have ended between the request's beginning and now.
    this.#checked = undefined
    this.#begun++
    if (!this.#stopped) this.#timer ??= setInterval(() => this.#lookOnce(), everyMs).unref()
    return () => {
      if (ends.delete(end) && ends.size === 0 && this.#holders.get(key)?.ends === ends) this.#holders.delete(key)
    }
  }

  #lookOnce(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
  }

  /** Does not reject. */
  async #look(): Promise<void> {
    try {
      const begun = this.#begun
      const version = await this.#catalog.version()
      if (version === this.#checked) return
      for (const [key, holder] of [...this.#holders]) await this.#check(key, holder)
      // What began meanwhile may have come too late for this look.
      if (begun === this.#begun) this.#checked = version
    } catch (error) {
      // What is under way goes on while the catalog cannot be read, and is checked again after that.
      this.#log.error({ err: asError(error) }, 'it could not be checked whether rights have ended')
    }
  }

  async #check(key: string, holder: Holder): Promise<void> {
    try {
      await holder.check(this.#catalog.db)
    } catch (error) {
      if (!(error instanceof AtollError) || error.status >= 500) throw error
      // Everything that watches it by now began with rights that have ended.
      if (this.#holders.get(key) === holder) this.#holders.delete(key)
      for (const end of holder.ends) end(error)
      holder.ends.clear()
    }
  }
}
