/** What SQLite itself says about its file and the references between its tables. */

import { sql } from 'kysely'
import type { BrokenReference, Reader } from '../types.js'

/** Returns lines that say what is wrong with the file. Throws if not even that can be read. */
export async function fileProblems(db: Reader): Promise<string[]> {
  const { rows } = await sql<{ integrity_check: string }>`pragma integrity_check(100)`.execute(db)
  return rows.map((row) => row.integrity_check).filter((line) => line !== 'ok')
}

export async function brokenReferences(db: Reader): Promise<BrokenReference[]> {
  type Found = { table: string; parent: string; rowid: number }
  const { rows } = await sql<Found>`pragma foreign_key_check`.execute(db)
  return rows.map(({ table, parent, rowid }) => ({
    table,
    parent,
    where: `in row ${rowid}`,
    read: async () => {
      const row = sql<Record<string, string | number | null>>`select * from ${sql.table(table)} where rowid = ${rowid}`
      return (await row.execute(db)).rows[0]
    },
    remove: async () => {
      await sql`delete from ${sql.table(table)} where rowid = ${rowid}`.execute(db)
    },
  }))
}
