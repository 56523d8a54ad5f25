/** The Identity API v3, as far as the clients of the other APIs and their administrators need it. */

import type { FastifyPluginAsync } from 'fastify'
import type { ApiOptions } from '../../shared/api.js'
import { refuseUnknownParameters } from '../../shared/parameters.js'
import { keystoneErrorHandler } from './errors.js'
import { identityParameters } from './requests/parameters.js'
import { addAssignments } from './routes/assignments.js'
import { addCatalog } from './routes/catalog.js'
import { addProjects } from './routes/projects.js'
import { addTokens } from './routes/tokens.js'
import { addUsers } from './routes/users.js'
import { addVersions } from './routes/versions.js'
import { refuseUnsupported } from './unsupported.js'

export const identity: FastifyPluginAsync<ApiOptions> = async (app, options) => {
  app.setErrorHandler(keystoneErrorHandler(options.urls))
  addVersions(app, options)
  await app.register(
    async (v3) => {
      refuseUnknownParameters(v3, identityParameters, (url) => url.slice('/v3'.length))
      addTokens(v3, options)
      addCatalog(v3, options)
      addUsers(v3, options)
      addProjects(v3, options)
      addAssignments(v3, options)
      refuseUnsupported(v3)
    },
    { prefix: '/v3' },
  )
}
