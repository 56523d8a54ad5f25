/** Image data: upload and download, streamed with back-pressure both ways. */

import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { OpenImage } from '../../../../core/images/images.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { contentLength } from '../../../shared/body.js'
import { bytesFor } from '../../../shared/direct_body.js'
import { sendOpened } from '../../../shared/opened.js'
import { GlanceFault } from '../errors.js'
import { parseRange } from '../requests/range.js'
import { storeId } from '../responses/image.js'

interface ImageRoute {
  Params: { imageId: string }
}

export function dataRoutes(app: FastifyInstance, { core }: ApiOptions): void {
  app.put<ImageRoute>('/images/:imageId/file', async (request, reply) => {
    const caller = requireProject(request)
    const mediaType = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase()
    if (mediaType !== 'application/octet-stream')
      throw new GlanceFault(
        415,
        `Invalid content type ${mediaType || '(none)'}: image data is application/octet-stream.`,
      )
    const store = request.headers['x-image-meta-store']
    if (store !== undefined && store !== storeId)
      throw new GlanceFault(400, `There is no store ${String(store)}; there is only ${storeId}.`)
    const lengthBytes = contentLength(request)
    await request.server.uploads.receive(request, reply, (body) =>
      core.images.upload(caller, request.params.imageId, { body, lengthBytes }),
    )
    return reply.code(204).send()
  })

  app.get<ImageRoute>('/images/:imageId/file', { exposeHeadRoute: false }, async (request, reply) => {
    const caller = requireProject(request)
    const { imageId } = request.params
    const image = await core.images.get(caller, imageId)
    if (image.resourceId === null) return reply.code(204).send()

    const open = await core.images.open(caller, imageId)
    return sendOpened(open, reply, () => answer(open, request, reply))
  })
}

/** What is to be sent, its headers set. */
function answer(open: OpenImage, request: FastifyRequest, reply: FastifyReply): Readable {
  const sizeBytes = open.image.sizeBytes ?? 0
  const range = parseRange(request.headers.range, sizeBytes)
  void reply.type('application/octet-stream').header('Accept-Ranges', 'bytes')
  if (range === undefined) {
    if (open.image.md5 !== null) void reply.header('Content-MD5', open.image.md5)
    void reply.header('Content-Length', sizeBytes)
    return bytesFor(request, open, { start: 0, end: sizeBytes })
  }
  void reply
    .code(206)
    .header('Content-Range', `bytes ${range.start}-${range.end - 1}/${sizeBytes}`)
    .header('Content-Length', range.end - range.start)
  return bytesFor(request, open, range)
}
