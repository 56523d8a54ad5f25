/**
 * The block storage API (Cinder v3), mounted at `/volume`. shared/auth.ts authenticates callers; core authorizes
 * them and checks states. What remains is the protocol: microversions (microversion.ts), requests/, responses/ and errors.ts.
 *
 * Every path exists with and without a project ID (`/v3/{project_id}/volumes`, `/v3/volumes`), which must be that of the
 * token.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Api, type ApiOptions, isBelow } from '../../shared/api.js'
import { requireProject } from '../../shared/auth.js'
import { describeError } from '../../shared/errors.js'
import { refuseUnknownParameters } from '../../shared/parameters.js'
import { badRequest, faultBody, renderFault } from './errors.js'
import { negotiateMicroversions } from './microversion.js'
import { cinderParameters } from './requests/parameters.js'
import { attachmentRoutes } from './routes/attachments.js'
import { metadataRoutes } from './routes/metadata.js'
import { quotaRoutes } from './routes/quotas.js'
import { serviceRoutes } from './routes/services.js'
import { snapshotActionRoutes } from './routes/snapshot_actions.js'
import { snapshotRoutes } from './routes/snapshots.js'
import { typeRoutes } from './routes/types.js'
import { versionRoutes } from './routes/versions.js'
import { volumeActionRoutes } from './routes/volume_actions.js'
import { volumeRoutes } from './routes/volumes.js'
import { refuseUnsupported } from './unsupported.js'

export const cinder: Api = {
  name: 'cinder',
  plugin,
  services: ['volumev3', 'block-storage'],
  prefix: '/volume',
  owns: (url) => isBelow(url, '/volume'),
  renderError: ({ status, message }) => renderFault(status, message),
}

async function plugin(app: FastifyInstance, options: ApiOptions): Promise<void> {
  app.decorateRequest('microversion', 0)
  app.setErrorHandler((error, request, reply) => {
    const { status, message } = describeError(error, request)
    return sendFault(reply, status, message)
  })

  versionRoutes(app, options.urls)
  for (const prefix of ['/v3', '/v3/:projectId']) {
    await app.register(
      async (v3) => {
        negotiateMicroversions(v3)
        v3.addHook('onRequest', requireOwnProject)
        refuseUnknownParameters(v3, cinderParameters, (url) => url.slice(`/volume${prefix}`.length))
        await resourceRoutes(v3, options)
      },
      { prefix },
    )
  }
}

async function resourceRoutes(app: FastifyInstance, options: ApiOptions): Promise<void> {
  const { core } = options
  volumeRoutes(app, options)
  volumeActionRoutes(app, options)
  snapshotRoutes(app, options)
  snapshotActionRoutes(app, options)
  metadataRoutes(app, {
    path: '/volumes/:id',
    read: async (caller, id) => (await core.volumes.get(caller, id)).metadata,
    edit: (caller, id, edit) => core.volumes.editMetadata(caller, id, edit),
  })
  metadataRoutes(app, {
    path: '/snapshots/:id',
    read: async (caller, id) => (await core.snapshots.get(caller, id)).metadata,
    edit: (caller, id, edit) => core.snapshots.editMetadata(caller, id, edit),
  })
  typeRoutes(app)
  quotaRoutes(app, options)
  serviceRoutes(app)
  refuseUnsupported(app)
  await app.register(async (scope) => attachmentRoutes(scope, options))
}

async function requireOwnProject(request: FastifyRequest): Promise<void> {
  const caller = requireProject(request)
  const { projectId } = request.params as { projectId?: string }
  if (projectId !== undefined && projectId !== caller.project.id) throw badRequest('Malformed request url')
}

function sendFault(reply: FastifyReply, status: number, message: string): FastifyReply {
  const code = statusOf(status)
  if (code === 401) void reply.header('WWW-Authenticate', 'Keystone')
  return reply.code(code).send(faultBody(code, message))
}

/** A full disk is what Cinder calls over the limit. 499 is for our log; nobody is there to read it. */
function statusOf(status: number): number {
  if (status === 507) return 413
  return status === 499 ? 400 : status
}
