/**
 * Volume types: there is one, `atoll`, public and the default. `__DEFAULT__`, the name that Cinder gives to the type of a
 * fresh installation, is another name of it.
 */

import type { FastifyInstance } from 'fastify'
import { badRequest, notFound } from '../errors.js'
import { parseListParams, type RawQuery } from '../requests/list_params.js'
import { flagOf } from '../requests/validation.js'

export const volumeTypeId = 'd1f6ae5c-8b0e-4a52-9c3f-0a6c7b1e4f20'
export const volumeTypeName = 'atoll'

const sortKeys = { id: 'id', name: 'name', created_at: 'created_at', updated_at: 'updated_at' } as const

/** Is this what clients may call the one type? By id or by either name. */
export function isVolumeType(nameOrId: string): boolean {
  return nameOrId === volumeTypeId || nameOrId === volumeTypeName || nameOrId === '__DEFAULT__'
}

export function volumeTypeView(isAdmin: boolean): Record<string, unknown> {
  return {
    id: volumeTypeId,
    name: volumeTypeName,
    description: 'Thin, copy-on-write at 4 KiB; served over NBD',
    is_public: true,
    'os-volume-type-access:is_public': true,
    extra_specs: {},
    ...(isAdmin ? { qos_specs_id: null } : {}),
  }
}

export function typeRoutes(app: FastifyInstance): void {
  app.get('/types', async (request) => {
    const { limit, marker, offset, filters } = parseListParams(request.query as RawQuery, sortKeys)
    if (marker !== undefined && marker !== volumeTypeId)
      throw badRequest(`Volume type id ${marker} could not be found.`)
    const [isPublic, name] = [filters.get('is_public'), filters.get('name')]
    // Nothing comes after the one type.
    const onPage = limit > 0 && offset === 0 && marker === undefined
    const shown = onPage && isWanted(isPublic) && (name === undefined || isVolumeType(name))
    return { volume_types: shown ? [volumeTypeView(request.caller?.isAdmin ?? false)] : [] }
  })
  app.get('/types/default', async (request) => ({ volume_type: volumeTypeView(request.caller?.isAdmin ?? false) }))
  app.get<{ Params: { typeId: string } }>('/types/:typeId', async (request) => {
    requireType(request.params.typeId)
    return { volume_type: volumeTypeView(request.caller?.isAdmin ?? false) }
  })
  app.get<{ Params: { typeId: string } }>('/types/:typeId/extra_specs', async (request) => {
    requireType(request.params.typeId)
    return { extra_specs: {} }
  })
  // Unencrypted: what Cinder answers for a type without an encryption.
  app.get<{ Params: { typeId: string } }>('/types/:typeId/encryption', async (request) => {
    requireType(request.params.typeId)
    return {}
  })
}

/** `None` (what clients send for "no matter"), or a flag. Throws 400. */
function isWanted(isPublic: string | undefined): boolean {
  if (isPublic === undefined || isPublic.toLowerCase() === 'none') return true
  const flag = flagOf(isPublic)
  if (flag === undefined) throw badRequest(`Invalid is_public filter [${isPublic}]`)
  return flag
}

function requireType(id: string): void {
  // By id alone: clients that are given a name probe it here, and look it up in the list when they get 404.
  if (id !== volumeTypeId) throw notFound(`Volume type ${id} could not be found.`)
}
