/** Snapshots: make, list, show, change, delete. */

import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SnapshotQuery, SnapshotSortKey } from '../../../../core/volumes/snapshots.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { badRequest } from '../errors.js'
import { metadataFilter } from '../requests/filters.js'
import { sendCinderList } from '../responses/list_answer.js'
import { eitherOf, type ListParams, parseListParams, type RawQuery } from '../requests/list_params.js'
import { since } from '../microversion.js'
import { Flag, isTrue, judge, NullableMetadata, NullableText, Uuid } from '../requests/validation.js'
import { viewContext } from '../responses/context.js'
import { snapshotDetail, snapshotSummary, snapshotView } from '../responses/snapshot.js'
import { namesOf } from '../requests/volume_body.js'

interface SnapshotRoute {
  Params: { snapshotId: string }
}

const sortKeys: Record<string, SnapshotSortKey> = {
  id: 'id',
  name: 'name',
  display_name: 'name',
  created_at: 'created_at',
  updated_at: 'updated_at',
  status: 'status',
  size: 'size',
  volume_size: 'size',
  volume_id: 'volume_id',
}

const names = {
  name: Type.Optional(NullableText),
  display_name: Type.Optional(NullableText),
  description: Type.Optional(NullableText),
  display_description: Type.Optional(NullableText),
}
const CreateBody = Type.Object({
  snapshot: Type.Object(
    {
      ...names,
      volume_id: Uuid,
      force: Type.Optional(Type.Union([Flag, Type.Null()], { description: 'a boolean' })),
      metadata: Type.Optional(NullableMetadata),
    },
    { additionalProperties: false, description: 'an object' },
  ),
})
const UpdateBody = Type.Object({
  snapshot: Type.Object(names, { additionalProperties: false, description: 'an object' }),
})

export function snapshotRoutes(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.post('/snapshots', async (request, reply) => {
    const caller = requireProject(request)
    const { snapshot: body } = judge(CreateBody, await readJson(request))
    const snapshot = await core.snapshots.create(caller, {
      ...namesOf(body),
      volumeId: body.volume_id,
      metadata: body.metadata ?? {},
      force: isForced(request, body.force),
    })
    return reply.code(202).send({ snapshot: snapshotView(snapshot, viewContext(request, urls)) })
  })

  const list = async (request: FastifyRequest, reply: FastifyReply, detailed: boolean) => {
    const caller = requireProject(request)
    const params = parseListParams(request.query as RawQuery, sortKeys)
    const query = snapshotQuery(params)
    const context = viewContext(request, urls)
    return sendCinderList(request, reply, {
      collection: 'snapshots',
      path: detailed ? 'snapshots/detail' : 'snapshots',
      context,
      params,
      page: (pace) => core.snapshots.page(caller, { ...query, limit: params.limit }, pace),
      view: (snapshot) => (detailed ? snapshotDetail(snapshot, context) : snapshotSummary(snapshot)),
      count: () => core.snapshots.count(caller, query),
    })
  }
  app.get('/snapshots', async (request, reply) => list(request, reply, false))
  app.get('/snapshots/detail', async (request, reply) => list(request, reply, true))

  app.get<SnapshotRoute>('/snapshots/:snapshotId', async (request) => {
    const snapshot = await core.snapshots.get(requireProject(request), request.params.snapshotId)
    return { snapshot: snapshotDetail(snapshot, viewContext(request, urls)) }
  })

  app.put<SnapshotRoute>('/snapshots/:snapshotId', async (request) => {
    const caller = requireProject(request)
    const { snapshot: body } = judge(UpdateBody, await readJson(request))
    if (Object.keys(body).length === 0)
      throw badRequest('At least one of name, description, display_name and display_description is required.')
    const snapshot = await core.snapshots.update(caller, request.params.snapshotId, namesOf(body))
    return { snapshot: snapshotView(snapshot, viewContext(request, urls)) }
  })

  app.delete<SnapshotRoute>('/snapshots/:snapshotId', async (request, reply) => {
    await core.snapshots.delete(requireProject(request), request.params.snapshotId)
    return reply.code(202).send()
  })
}

/** From 3.66 on a volume in use is snapshotted without being asked; saying no to that is an error. */
function isForced(request: FastifyRequest, force: Parameters<typeof isTrue>[0]): boolean {
  if (request.microversion < since.snapshotWithoutForce) return isTrue(force)
  if (force !== undefined && !isTrue(force))
    throw badRequest(
      "Since microversion 3.66 the 'force' flag is invalid; its only accepted value is true, which is ignored.",
    )
  return true
}

function snapshotQuery(params: ListParams<SnapshotSortKey>): SnapshotQuery {
  const { filters, marker, offset, sort, allTenants } = params
  return {
    marker: marker as SnapshotQuery['marker'],
    offset,
    sort: sort.length > 0 ? sort : undefined,
    allProjects: allTenants,
    projectId: eitherOf(filters, 'project_id', 'tenant_id'),
    userId: filters.get('user_id'),
    name: eitherOf(filters, 'name', 'display_name'),
    status: filters.get('status'),
    volumeId: filters.get('volume_id'),
    metadata: metadataFilter(filters.get('metadata')),
  }
}
