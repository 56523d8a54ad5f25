/**
 * Metadata of volumes and of snapshots: the same six calls. From 3.15 on the whole set has an ETag, and a change may be
 * bound to one by If-Match (412 when somebody was faster).
 */

import { createHash } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Metadata as MetadataRecord, ProjectCaller } from '../../../../core/model/records.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { badRequest, CinderFault, notFound } from '../errors.js'
import { since } from '../microversion.js'
import { entityTags } from '../requests/entity_tags.js'
import { Metadata, validate } from '../requests/validation.js'

const metadataMax = 128
const WholeSet = Type.Object({ metadata: Metadata }, { additionalProperties: true })
const OneItem = Type.Object({ meta: Metadata }, { additionalProperties: true })

type MetadataEdit = (metadata: MetadataRecord) => MetadataRecord

export interface MetadataOwner {
  /** `/volumes/:id` */
  path: string
  read(caller: ProjectCaller, id: string): Promise<MetadataRecord>
  /** In one transaction; `edit` may be called more than once. */
  edit(caller: ProjectCaller, id: string, edit: MetadataEdit): Promise<MetadataRecord>
}

interface ItemRoute {
  Params: { id: string; key: string }
}

export function metadataRoutes(app: FastifyInstance, owner: MetadataOwner): void {
  const path = `${owner.path}/metadata`

  /** If-Match is checked, and the set edited, with no other change of this thing in between. */
  const change = async (request: FastifyRequest, reply: FastifyReply, edit: MetadataEdit): Promise<MetadataRecord> => {
    const { id } = request.params as { id: string }
    const after = await owner.edit(requireProject(request), id, (before) => {
      requireMatch(request, before)
      const edited = edit(before)
      if (Object.keys(edited).length > metadataMax)
        throw new CinderFault(413, `There may be at most ${metadataMax} metadata items.`)
      return edited
    })
    tag(request, reply, after)
    return after
  }

  app.get<ItemRoute>(path, async (request, reply) => {
    const metadata = await owner.read(requireProject(request), request.params.id)
    tag(request, reply, metadata)
    return { metadata }
  })

  app.post<ItemRoute>(path, async (request, reply) => {
    const { metadata: added } = validate(WholeSet, await readJson(request))
    return { metadata: await change(request, reply, (metadata) => ({ ...metadata, ...added })) }
  })

  app.put<ItemRoute>(path, async (request, reply) => {
    const { metadata: whole } = validate(WholeSet, await readJson(request))
    return { metadata: await change(request, reply, () => whole) }
  })

  app.get<ItemRoute>(`${path}/:key`, async (request) => {
    const { id, key } = request.params
    const metadata = await owner.read(requireProject(request), id)
    return { meta: { [key]: itemOf(metadata, key) } }
  })

  app.put<ItemRoute>(`${path}/:key`, async (request, reply) => {
    const { key } = request.params
    const { meta } = validate(OneItem, await readJson(request))
    requireOnly(meta, key)
    await change(request, reply, (metadata) => ({ ...metadata, ...meta }))
    return { meta }
  })

  app.delete<ItemRoute>(`${path}/:key`, async (request, reply) => {
    const { key } = request.params
    await change(request, reply, (metadata) => {
      itemOf(metadata, key)
      return Object.fromEntries(Object.entries(metadata).filter(([name]) => name !== key))
    })
    return reply.code(200).send()
  })
}

function itemOf(metadata: MetadataRecord, key: string): string {
  const value = Object.hasOwn(metadata, key) ? metadata[key] : undefined
  if (value === undefined) throw notFound(`Metadata item was not found: there is no ${key}.`)
  return value
}

function requireOnly(meta: Static<typeof Metadata>, key: string): void {
  if (!Object.hasOwn(meta, key)) throw badRequest('Request body and URI mismatch')
  if (Object.keys(meta).length > 1) throw badRequest('Request body contains too many items')
}

function etagOf(metadata: MetadataRecord): string {
  const sorted = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 32)
}

function tag(request: FastifyRequest, reply: FastifyReply, metadata: MetadataRecord): void {
  if (request.microversion >= since.metadataEtag) void reply.header('ETag', etagOf(metadata))
}

function requireMatch(request: FastifyRequest, metadata: MetadataRecord): void {
  const condition = request.headers['if-match']
  if (condition === undefined || request.microversion < since.metadataEtag) return
  const tags = entityTags(condition)
  if (!tags.includes('*') && !tags.includes(etagOf(metadata)))
    throw new CinderFault(412, 'The metadata has been changed by somebody else.')
}
