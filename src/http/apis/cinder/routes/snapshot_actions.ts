/** `POST /snapshots/{id}/action`. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireAdmin, requireProject } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { badRequest } from '../errors.js'
import { refuseUnsupportedAction } from '../unsupported.js'

export function snapshotActionRoutes(app: FastifyInstance, { core }: ApiOptions): void {
  app.post<{ Params: { snapshotId: string } }>('/snapshots/:snapshotId/action', async (request, reply) => {
    const caller = requireProject(request)
    const [name, ...more] = Object.keys(await readJsonObject(request))
    if (name === undefined || more.length > 0)
      throw badRequest('Malformed request body: it has one member, the action.')
    refuseUnsupportedAction('snapshot', name)
    if (name !== 'os-force_delete') throw badRequest(`There is no such action: ${name}`)
    requireAdmin(request)
    await core.snapshots.delete(caller, request.params.snapshotId)
    return reply.code(202).send()
  })
}
