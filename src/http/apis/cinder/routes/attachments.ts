/**
 * Attachments (3.27), the right to use a volume. Made with a connector, or given one later, an attachment has an NBD
 * export of its own, which works from then on until the attachment is deleted.
 */

import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AttachmentQuery, AttachmentSortKey } from '../../../../core/volumes/attachments.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { badRequest } from '../errors.js'
import { sendCinderList } from '../responses/list_answer.js'
import { eitherOf, type ListParams, parseListParams, type RawQuery } from '../requests/list_params.js'
import { requireMicroversion, since } from '../microversion.js'
import { judge, Uuid } from '../requests/validation.js'
import { attachmentDetail, attachmentSummary } from '../responses/attachment.js'
import { viewContext } from '../responses/context.js'

interface AttachmentRoute {
  Params: { attachmentId: string }
}

const sortKeys: Record<string, AttachmentSortKey> = {
  id: 'id',
  created_at: 'created_at',
  updated_at: 'updated_at',
  status: 'status',
  attach_status: 'status',
  volume_id: 'volume_id',
}

const Connector = Type.Record(Type.String(), Type.Unknown(), {
  minProperties: 1,
  description: 'an object with members',
})
const Mode = Type.Union([Type.Literal('rw'), Type.Literal('ro')], { description: "'rw' or 'ro'" })
const attachment = {
  volume_uuid: Uuid,
  instance_uuid: Type.Optional(Type.Union([Uuid, Type.Null()], { description: 'a UUID or null' })),
  connector: Type.Optional(
    Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()], { description: 'an object or null' }),
  ),
}
const envelope = <T extends Parameters<typeof Type.Object>[0]>(members: T) =>
  Type.Object({ attachment: Type.Object(members, { additionalProperties: false, description: 'an object' }) })
const CreateBody = envelope(attachment)
const CreateBodyWithMode = envelope({ ...attachment, mode: Type.Optional(Mode) })
const UpdateBody = envelope({ connector: Connector })
const CompleteBody = Type.Object({ 'os-complete': Type.Unknown() }, { additionalProperties: false })

export function attachmentRoutes(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.addHook('onRequest', async (request) => requireMicroversion(request, since.attachments))

  app.post('/attachments', async (request) => {
    const caller = requireProject(request)
    const body = judgeCreate(await readJson(request), request.microversion)
    const { connector } = body
    const created = await core.attachments.create(caller, {
      volumeId: body.volume_uuid,
      instanceId: body.instance_uuid ?? null,
      ...(connector && Object.keys(connector).length > 0 ? { connector } : {}),
      ...(body.mode === undefined ? modeOf(connector) : { mode: body.mode }),
      ...mountpointOf(connector),
    })
    return { attachment: attachmentDetail(created) }
  })

  const list = async (request: FastifyRequest, reply: FastifyReply, detailed: boolean) => {
    const caller = requireProject(request)
    const params = parseListParams(request.query as RawQuery, sortKeys)
    const query = attachmentQuery(params)
    return sendCinderList(request, reply, {
      collection: 'attachments',
      path: detailed ? 'attachments/detail' : 'attachments',
      context: viewContext(request, urls),
      params,
      page: (pace) => core.attachments.page(caller, { ...query, limit: params.limit }, pace),
      view: detailed ? attachmentDetail : attachmentSummary,
      count: () => core.attachments.count(caller, query),
    })
  }
  app.get('/attachments', async (request, reply) => list(request, reply, false))
  app.get('/attachments/detail', async (request, reply) => list(request, reply, true))

  app.get<AttachmentRoute>('/attachments/:attachmentId', async (request) => ({
    attachment: attachmentDetail(await core.attachments.get(requireProject(request), request.params.attachmentId)),
  }))

  app.put<AttachmentRoute>('/attachments/:attachmentId', async (request) => {
    const caller = requireProject(request)
    const { connector } = judge(UpdateBody, await readJson(request)).attachment
    const updated = await core.attachments.update(caller, request.params.attachmentId, {
      connector,
      ...modeOf(connector),
      ...mountpointOf(connector),
    })
    return { attachment: attachmentDetail(updated) }
  })

  // Answers what else holds the volume, so that a host knows whether it may let go of a shared target.
  app.delete<AttachmentRoute>('/attachments/:attachmentId', async (request) => {
    const caller = requireProject(request)
    const { volumeId } = await core.attachments.get(caller, request.params.attachmentId)
    await core.attachments.delete(caller, request.params.attachmentId)
    const left = await core.attachments.list(caller, { volumeId })
    return { attachments: left.map(attachmentSummary) }
  })

  app.post<AttachmentRoute>('/attachments/:attachmentId/action', async (request, reply) => {
    requireMicroversion(request, since.attachmentComplete)
    const caller = requireProject(request)
    judge(CompleteBody, await readJson(request))
    await core.attachments.complete(caller, request.params.attachmentId)
    return reply.code(204).send()
  })
}

function judgeCreate(body: unknown, microversion: number): Static<typeof CreateBodyWithMode>['attachment'] {
  if (microversion >= since.attachmentMode) return judge(CreateBodyWithMode, body).attachment
  return judge(CreateBody, body).attachment
}

function modeOf(connector: Record<string, unknown> | null | undefined): { mode?: 'rw' | 'ro' } {
  const mode = connector?.['mode']
  if (mode === undefined || mode === null) return {}
  if (mode === 'rw' || mode === 'ro') return { mode }
  throw badRequest("Invalid input for field/attribute mode. It must be 'rw' or 'ro'.")
}

function mountpointOf(connector: Record<string, unknown> | null | undefined): { mountpoint?: string } {
  const mountpoint = connector?.['mountpoint']
  return typeof mountpoint === 'string' ? { mountpoint: mountpoint.slice(0, 255) } : {}
}

function attachmentQuery(params: ListParams<AttachmentSortKey>): AttachmentQuery {
  const { filters, marker, offset, sort, allTenants } = params
  return {
    marker: marker as AttachmentQuery['marker'],
    offset,
    sort: sort.length > 0 ? sort : undefined,
    allProjects: allTenants,
    projectId: eitherOf(filters, 'project_id', 'tenant_id'),
    volumeId: filters.get('volume_id'),
    instanceId: filters.get('instance_id'),
    status: eitherOf(filters, 'status', 'attach_status'),
  }
}
