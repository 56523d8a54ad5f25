/**
 * Attachments (3.27), the right to use a volume. Made with a connector, or given one later, an attachment has an NBD
 * export of its own, which works from then on until the attachment is deleted.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { requireMicroversion, since } from '../microversion.js'
import { parseAttachmentChange, parseNewAttachment, requireComplete } from '../requests/attachment_body.js'
import { parseAttachmentQuery } from '../requests/attachment_query.js'
import { attachmentDetail, attachmentSummary } from '../responses/attachment.js'
import { viewContext } from '../responses/context.js'
import { sendCinderList } from '../responses/list.js'

interface AttachmentRoute {
  Params: { attachmentId: string }
}

export function attachmentRoutes(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.addHook('onRequest', async (request) => requireMicroversion(request, since.attachments))

  app.post('/attachments', async (request) => {
    const caller = requireProject(request)
    const wanted = parseNewAttachment(await readJson(request), request.microversion)
    const created = await core.attachments.create(caller, wanted)
    return { attachment: attachmentDetail(created) }
  })

  const list = async (request: FastifyRequest, reply: FastifyReply, detailed: boolean) => {
    const caller = requireProject(request)
    const { params, query } = parseAttachmentQuery(request)
    return sendCinderList(request, reply, {
      collection: 'attachments',
      path: detailed ? 'attachments/detail' : 'attachments',
      context: viewContext(request, urls),
      withCount: params.withCount,
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
    const change = parseAttachmentChange(await readJson(request))
    const updated = await core.attachments.update(caller, request.params.attachmentId, change)
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
    requireComplete(await readJson(request))
    await core.attachments.complete(caller, request.params.attachmentId)
    return reply.code(204).send()
  })
}
