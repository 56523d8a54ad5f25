/**
 * What was read from the catalog, remembered as long as the catalog stays as it is: any commit, of this process or another,
 * ends all of it (`Catalog.version`). So an answer is never older than one that was read now, and nobody has to say what a change
 * makes invalid.
 */

import type { Catalog } from './catalog.js'

export class Memo<Key, Value> {
  readonly #catalog: Catalog
  readonly #max: number
  readonly #values = new Map<Key, Value>()
  #version: number | undefined

  /** All of it is forgotten when it would hold more than `max` values. */
  constructor(catalog: Catalog, max: number) {
    this.#catalog = catalog
    this.#max = max
  }

  /** The answer is not older than the call. That there is nothing (undefined) is not remembered. */
  async get(key: Key, read: (key: Key) => Promise<Value | undefined>): Promise<Value | undefined> {
    // Before the reading: what is committed meanwhile makes the value newer than the version, never older.
    const version = await this.#catalog.version()
    if (version !== this.#version || this.#values.size >= this.#max) {
      this.#values.clear()
      this.#version = version
    }
    const known = this.#values.get(key)
    if (known !== undefined) return known
    const value = await read(key)
    // Another call may have found a later version by now, which may have come after this reading.
    if (value !== undefined && this.#version === version) this.#values.set(key, value)
    return value
  }
}
