/** Which database the catalogs of a test are in: SQLite, or PostgreSQL where the environment has ATOLL_TEST_CATALOG=postgres. */

import { Catalog } from '../src/catalog/catalog.js'
import { PostgresServer } from './postgres.js'

const onPostgres = process.env.ATOLL_TEST_CATALOG === 'postgres'

let server: Promise<PostgresServer> | undefined

/** Of this process; it ends with it. */
function postgresServer(): Promise<PostgresServer> {
  server ??= PostgresServer.start()
  return server
}

let template: Promise<string> | undefined

async function makeTemplate(): Promise<string> {
  const url = (await postgresServer()).createDatabase()
  await (await Catalog.open({ url })).close()
  return /\/(\w+)\?/.exec(url)?.[1] ?? ''
}

/** The URL of a catalog with the schema of now and nothing in it; undefined: it is the file in the data directory. */
export async function catalogUrl(): Promise<string | undefined> {
  if (!onPostgres) return undefined
  template ??= makeTemplate()
  return (await postgresServer()).createDatabase(`template ${await template} strategy file_copy`)
}
