/**
 * Regions, services and endpoints that administrators add to the service catalog. The server's own entries are not stored: they follow
 * from its URL (http/apis/keystone/responses/service_catalog.ts), and `BuiltInEntries` names their IDs.
 */

import type { Catalog } from '../../catalog/catalog.js'
import { type EndpointRow, flag, type RegionRow, type ServiceRow } from '../../catalog/schema.js'
import type { Reader } from '../../catalog/types.js'
import { newHexId } from '../../lib/ids.js'
import {
  EndpointNotFound,
  InvalidArgument,
  RegionExists,
  RegionInUse,
  RegionNotFound,
  ServiceNotFound,
} from '../model/errors.js'
import type { Caller, Endpoint, Extra, Region, Service } from '../model/records.js'
import { extraOf } from '../policy/identity_rows.js'
import { requireStillAdmin } from '../policy/rights.js'
import { type Change, storedExtra } from './names.js'

/** IDs of entries that have no rows, which others may refer to. */
export interface BuiltInEntries {
  regions: readonly string[]
  services: readonly string[]
}

export interface NewRegion {
  id?: string | undefined
  description?: string | undefined
  parentId?: string | null | undefined
  extra?: Extra | undefined
}

export interface NewService {
  type: string
  name?: string | undefined
  description?: string | undefined
  enabled?: boolean | undefined
  extra?: Extra | undefined
}

export interface NewEndpoint {
  serviceId: string
  interface: Endpoint['interface']
  url: string
  regionId?: string | null | undefined
  /** In place of `regionId`: a region that is made if it is missing. */
  newRegion?: string | null | undefined
  enabled?: boolean | undefined
  extra?: Extra | undefined
}

const entriesMax = 1000

export class CatalogEntries {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  // ---- regions ----

  async regions(): Promise<Region[]> {
    return (await this.#catalog.db.selectFrom('regions').selectAll().orderBy('id').execute()).map(toRegion)
  }

  /** Throws RegionExists, RegionNotFound of the parent, InvalidArgument. */
  async createRegion(region: NewRegion, builtIn: BuiltInEntries, by: Caller): Promise<Region> {
    return this.#change(by, async (db) => {
      const { id, parentId } = region
      if (id !== undefined) {
        const known = await db.selectFrom('regions').select('id').where('id', '=', id).executeTakeFirst()
        if (known !== undefined || builtIn.regions.includes(id)) throw new RegionExists(id)
      }
      if (parentId) await requireRegion(db, parentId, builtIn)
      return toRegion(await insertRegion(db, region))
    })
  }

  /** Throws RegionNotFound, InvalidArgument. */
  async updateRegion(id: string, change: Omit<NewRegion, 'id'>, builtIn: BuiltInEntries, by: Caller): Promise<Region> {
    return this.#change(by, async (db) => {
      const row = await storedRegion(db, id)
      if (change.parentId) await requireOutside(db, change.parentId, row.id, builtIn)
      const next: RegionRow = {
        ...row,
        description: change.description ?? row.description,
        parent_id: change.parentId === undefined ? row.parent_id : change.parentId,
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await db.updateTable('regions').set(next).where('id', '=', row.id).execute()
      return toRegion(next)
    })
  }

  /** Throws RegionNotFound, RegionInUse. */
  async deleteRegion(id: string, by: Caller): Promise<void> {
    await this.#change(by, async (db) => {
      const row = await storedRegion(db, id)
      const child = await db.selectFrom('regions').select('id').where('parent_id', '=', row.id).executeTakeFirst()
      const endpoint = await db.selectFrom('endpoints').select('id').where('region_id', '=', row.id).executeTakeFirst()
      if (child !== undefined || endpoint !== undefined) throw new RegionInUse(row.id)
      await db.deleteFrom('regions').where('id', '=', row.id).execute()
    })
  }

  // ---- services ----

  async services(): Promise<Service[]> {
    const found = await this.#catalog.db.selectFrom('services').selectAll().orderBy('type').orderBy('id').execute()
    return found.map(toService)
  }

  /** Throws InvalidArgument. */
  async createService(service: NewService, by: Caller): Promise<Service> {
    return this.#change(by, async (db) => {
      await requireRoom(db, 'services')
      const row: ServiceRow = {
        id: newHexId(),
        type: requireType(service.type),
        name: service.name ?? '',
        description: service.description ?? '',
        enabled: flag(service.enabled ?? true),
        extra: storedExtra({}, service.extra),
      }
      await db.insertInto('services').values(row).execute()
      return toService(row)
    })
  }

  /** Throws ServiceNotFound, InvalidArgument. */
  async updateService(id: string, change: Change<NewService>, by: Caller): Promise<Service> {
    return this.#change(by, async (db) => {
      const row = await storedService(db, id)
      const next: ServiceRow = {
        ...row,
        type: change.type === undefined ? row.type : requireType(change.type),
        name: change.name ?? row.name,
        description: change.description ?? row.description,
        enabled: change.enabled === undefined ? row.enabled : flag(change.enabled),
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await db.updateTable('services').set(next).where('id', '=', row.id).execute()
      return toService(next)
    })
  }

  /** Its endpoints go with it. Throws ServiceNotFound. */
  async deleteService(id: string, by: Caller): Promise<void> {
    await this.#change(by, async (db) => {
      const row = await storedService(db, id)
      await db.deleteFrom('endpoints').where('service_id', '=', row.id).execute()
      await db.deleteFrom('services').where('id', '=', row.id).execute()
    })
  }

  // ---- endpoints ----

  async endpoints(): Promise<Endpoint[]> {
    const found = await this.#catalog.db
      .selectFrom('endpoints')
      .selectAll()
      .orderBy('service_id')
      .orderBy('id')
      .execute()
    return found.map(toEndpoint)
  }

  /** Throws ServiceNotFound, RegionNotFound, InvalidArgument. */
  async createEndpoint(endpoint: NewEndpoint, builtIn: BuiltInEntries, by: Caller): Promise<Endpoint> {
    return this.#change(by, async (db) => {
      await requireRoom(db, 'endpoints')
      const row: EndpointRow = {
        id: newHexId(),
        service_id: endpoint.serviceId,
        region_id: endpoint.regionId ?? (await madeRegion(db, endpoint.newRegion, builtIn)) ?? null,
        interface: endpoint.interface,
        url: requireUrl(endpoint.url),
        enabled: flag(endpoint.enabled ?? true),
        extra: storedExtra({}, endpoint.extra),
      }
      await requirePlace(db, row, builtIn)
      await db.insertInto('endpoints').values(row).execute()
      return toEndpoint(row)
    })
  }

  /** Throws EndpointNotFound, ServiceNotFound, RegionNotFound, InvalidArgument. */
  async updateEndpoint(
    id: string,
    change: Change<NewEndpoint>,
    builtIn: BuiltInEntries,
    by: Caller,
  ): Promise<Endpoint> {
    return this.#change(by, async (db) => {
      const row = await storedEndpoint(db, id)
      const next: EndpointRow = {
        ...row,
        service_id: change.serviceId ?? row.service_id,
        region_id: change.regionId ?? (await madeRegion(db, change.newRegion, builtIn)) ?? row.region_id,
        interface: change.interface ?? row.interface,
        url: change.url === undefined ? row.url : requireUrl(change.url),
        enabled: change.enabled === undefined ? row.enabled : flag(change.enabled),
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await requirePlace(db, next, builtIn)
      await db.updateTable('endpoints').set(next).where('id', '=', row.id).execute()
      return toEndpoint(next)
    })
  }

  /** Throws EndpointNotFound. */
  async deleteEndpoint(id: string, by: Caller): Promise<void> {
    await this.#change(by, async (db) => {
      const row = await storedEndpoint(db, id)
      await db.deleteFrom('endpoints').where('id', '=', row.id).execute()
    })
  }

  #change<T>(by: Caller, work: (db: Reader) => Promise<T>): Promise<T> {
    return this.#catalog.transaction(async ({ db }) => {
      await requireStillAdmin(db, by)
      return work(db)
    })
  }
}

/** Every token lists them. */
async function requireRoom(db: Reader, table: 'regions' | 'services' | 'endpoints'): Promise<void> {
  const { count } = await db
    .selectFrom(table)
    .select((e) => e.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  if (Number(count) >= entriesMax) throw new InvalidArgument(`expected at most ${entriesMax} ${table}`)
}

async function madeRegion(
  db: Reader,
  id: string | null | undefined,
  builtIn: BuiltInEntries,
): Promise<string | undefined> {
  if (id === undefined || id === null) return undefined
  const known = await db.selectFrom('regions').select('id').where('id', '=', id).executeTakeFirst()
  if (known === undefined && !builtIn.regions.includes(id)) await insertRegion(db, { id })
  return id
}

async function insertRegion(db: Reader, { id = newHexId(), ...region }: NewRegion): Promise<RegionRow> {
  if (id === '' || id.length > 255 || id.includes('/'))
    throw new InvalidArgument('expected an ID of 1 to 255 characters without "/"')
  await requireRoom(db, 'regions')
  const extra = storedExtra({}, region.extra)
  const row = { id, description: region.description ?? '', parent_id: region.parentId ?? null, extra }
  await db.insertInto('regions').values(row).execute()
  return row
}

async function storedRegion(db: Reader, id: string): Promise<RegionRow> {
  const row = await db.selectFrom('regions').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new RegionNotFound(id)
  return row
}

async function storedService(db: Reader, id: string): Promise<ServiceRow> {
  const row = await db.selectFrom('services').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new ServiceNotFound(id)
  return row
}

async function storedEndpoint(db: Reader, id: string): Promise<EndpointRow> {
  const row = await db.selectFrom('endpoints').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new EndpointNotFound(id)
  return row
}

async function requireRegion(db: Reader, id: string, builtIn: BuiltInEntries): Promise<void> {
  if (!builtIn.regions.includes(id)) await storedRegion(db, id)
}

/** Throws InvalidArgument when `parentId` is the region `id` or below it. */
async function requireOutside(db: Reader, parentId: string, id: string, builtIn: BuiltInEntries): Promise<void> {
  await requireRegion(db, parentId, builtIn)
  const parents = new Map((await db.selectFrom('regions').selectAll().execute()).map((row) => [row.id, row.parent_id]))
  for (let at: string | null | undefined = parentId; at; at = parents.get(at))
    if (at === id) throw new InvalidArgument('expected a parent that is not below the region')
}

async function requirePlace(db: Reader, row: EndpointRow, builtIn: BuiltInEntries): Promise<void> {
  if (!builtIn.services.includes(row.service_id)) await storedService(db, row.service_id)
  if (row.region_id !== null) await requireRegion(db, row.region_id, builtIn)
}

function requireType(type: string): string {
  if (type === '' || type.length > 255) throw new InvalidArgument('expected a type of 1 to 255 characters')
  return type
}

function requireUrl(url: string): string {
  if (url === '' || url.length > 2048) throw new InvalidArgument('expected a URL of 1 to 2048 characters')
  return url
}

const toRegion = ({ id, description, parent_id: parentId, extra }: RegionRow): Region => ({
  id,
  description,
  parentId,
  extra: extraOf(extra),
})

const toService = ({ id, type, name, description, enabled, extra }: ServiceRow): Service => ({
  id,
  type,
  name,
  description,
  enabled: enabled === 1,
  extra: extraOf(extra),
})

const toEndpoint = (row: EndpointRow): Endpoint => ({
  id: row.id,
  serviceId: row.service_id,
  regionId: row.region_id,
  interface: row.interface,
  url: row.url,
  enabled: row.enabled === 1,
  extra: extraOf(row.extra),
})
