/** Tags, and taking an image out of use for a while. Clients send a media type without a body here; nobody reads one. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { requireFits } from '../requests/image_body.js'

export function tagRoutes(app: FastifyInstance, { core }: ApiOptions): void {
  interface TagRoute {
    Params: { imageId: string; tag: string }
  }
  app.put<TagRoute>('/images/:imageId/tags/:tag', async (request, reply) => {
    const { imageId, tag } = request.params
    requireFits('tags', [tag])
    await core.images.addTag(requireProject(request), imageId, tag)
    return reply.code(204).send()
  })
  app.delete<TagRoute>('/images/:imageId/tags/:tag', async (request, reply) => {
    const { imageId, tag } = request.params
    await core.images.removeTag(requireProject(request), imageId, tag)
    return reply.code(204).send()
  })
}

export function actionRoutes(app: FastifyInstance, { core }: ApiOptions): void {
  for (const [action, active] of [
    ['deactivate', false],
    ['reactivate', true],
  ] as const) {
    app.post<{ Params: { imageId: string } }>(`/images/:imageId/actions/${action}`, async (request, reply) => {
      await core.images.setActive(requireProject(request), request.params.imageId, active)
      return reply.code(204).send()
    })
  }
}
