/** Numbers for new layers, taken from the catalog in blocks: a block that is not used up is lost, never used again. */

import type { Catalog } from '../../catalog/catalog.js'
import type { LayerId } from '../../lib/ids.js'
import { Mutex } from '../../lib/mutex.js'

const sequence = 'layers'
const blockSize = 1000

export class LayerIds {
  readonly #catalog: Catalog
  readonly #turn = new Mutex()
  #next = 0
  #end = 0

  /** `firstOfRun`: every layer from here on was made by this process; all below are older. */
  private constructor(
    catalog: Catalog,
    readonly firstOfRun: LayerId,
  ) {
    this.#catalog = catalog
  }

  static async open(catalog: Catalog): Promise<LayerIds> {
    const next = await catalog.reservedTransaction(async ({ db }) => {
      // Layer 0 is "none".
      await db
        .insertInto('sequences')
        .values({ name: sequence, next: 1 })
        .onConflict((conflict) => conflict.column('name').doNothing())
        .execute()
      return (await db.selectFrom('sequences').select('next').where('name', '=', sequence).executeTakeFirstOrThrow())
        .next
    })
    return new LayerIds(catalog, next as LayerId)
  }

  next(): Promise<LayerId> {
    return this.#turn.run(async () => {
      if (this.#next === this.#end) await this.#takeBlock()
      return this.#next++ as LayerId
    })
  }

  async #takeBlock(): Promise<void> {
    const { next } = await this.#catalog.transaction(({ db }) =>
      db
        .updateTable('sequences')
        .set((e) => ({ next: e('next', '+', blockSize) }))
        .where('name', '=', sequence)
        .returning('next')
        .executeTakeFirstOrThrow(),
    )
    this.#end = next
    this.#next = next - blockSize
  }
}
