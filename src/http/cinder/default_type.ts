/**
 * Volume types: there is one, `atoll`, public and the default. `__DEFAULT__`, the name that Cinder gives to the type of a
 * fresh installation, is another name of it.
 */

import type { FastifyInstance } from 'fastify'
import { notFound } from './faults.js'

export const volumeTypeId = 'd1f6ae5c-8b0e-4a52-9c3f-0a6c7b1e4f20'
export const volumeTypeName = 'atoll'

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
    const { is_public: isPublic, name } = request.query as { is_public?: string; name?: string }
    const shown = !/^(false|0|f|no|off)$/i.test(isPublic ?? '') && (name === undefined || isVolumeType(name))
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

function requireType(id: string): void {
  // By id alone: clients that are given a name probe it here, and look it up in the list when they get 404.
  if (id !== volumeTypeId) throw notFound(`Volume type ${id} could not be found.`)
}
