/** `/types`: the one volume type (volume_type.ts). */

import type { FastifyInstance } from 'fastify'
import { badRequest, notFound } from '../errors.js'
import { parseListParams, type RawQuery } from '../requests/list_params.js'
import { flagOf } from '../requests/validation.js'
import { volumeTypeView } from '../responses/volume_type.js'
import { isVolumeType, volumeTypeId } from '../volume_type.js'

const sortKeys = { id: 'id', name: 'name', created_at: 'created_at', updated_at: 'updated_at' } as const

export function typeRoutes(app: FastifyInstance): void {
  app.get('/types', async (request) => {
    const { limit, marker, offset, filters } = parseListParams(
      request.query as RawQuery,
      sortKeys,
      request.microversion,
    )
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
