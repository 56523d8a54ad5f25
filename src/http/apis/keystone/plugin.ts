/** The Identity API v3, as far as the clients of the other APIs and their administrators need it. */

import type { FastifyInstance } from 'fastify'
import { type Api, type ApiOptions, isBelow } from '../../shared/api.js'
import { refuseUnknownParameters } from '../../shared/parameters.js'
import { keystoneErrorHandler, renderKeystoneError } from './errors.js'
import { identityParameters } from './requests/parameters.js'
import { addApplicationCredentials } from './routes/application_credentials.js'
import { addAssignments } from './routes/assignments.js'
import { addCatalog } from './routes/catalog.js'
import { addCredentials } from './routes/credentials.js'
import { addDomains } from './routes/domains.js'
import { addGroups } from './routes/groups.js'
import { addProjects } from './routes/projects.js'
import { addRoles } from './routes/roles.js'
import { addTokens } from './routes/tokens.js'
import { addUsers } from './routes/users.js'
import { addVersions } from './routes/versions.js'
import { refuseUnsupported } from './unsupported.js'

export const keystone: Api = {
  name: 'keystone',
  plugin,
  services: ['identity'],
  owns: (url) => isBelow(url, '/v3') || url === '/',
  renderError: ({ status, message }) => renderKeystoneError(status, message),
}

async function plugin(app: FastifyInstance, options: ApiOptions): Promise<void> {
  app.setErrorHandler(keystoneErrorHandler(options.urls))
  addVersions(app, options)
  await app.register(
    async (v3) => {
      refuseUnknownParameters(v3, identityParameters, (url) => url.slice('/v3'.length))
      addTokens(v3, options)
      addCatalog(v3, options)
      addUsers(v3, options)
      addGroups(v3, options)
      addProjects(v3, options)
      addDomains(v3, options)
      addRoles(v3, options)
      addAssignments(v3, options)
      addApplicationCredentials(v3, options)
      addCredentials(v3, options)
      refuseUnsupported(v3)
    },
    { prefix: '/v3' },
  )
}
