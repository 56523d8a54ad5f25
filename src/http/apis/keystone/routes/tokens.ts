/** `/v3/auth/*`: logging in and out, and what a token is good for. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Session } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireCaller, requireProject, sessionOf } from '../../../shared/auth.js'
import { baseUrl } from '../../../shared/base_url.js'
import { readJsonObject } from '../../../shared/body.js'
import { Forbidden, TokenNotFound } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { filtered, filterOf } from '../requests/list_filters.js'
import { parseLogin } from '../requests/login_request.js'
import { identityParameters } from '../requests/parameters.js'
import { listOf, sendListOf } from '../responses/list.js'
import { defaultDomain, projectBody } from '../responses/resources.js'
import { serviceCatalog } from '../responses/service_catalog.js'
import { tokenBody } from '../responses/token.js'

/** Strangers may send one, on as many connections as there are. */
const loginBytesMax = 64 << 10

export function addTokens(app: FastifyInstance, { core, urls, logins }: ApiOptions): void {
  app.post('/auth/tokens', async (request, reply) => {
    const wanted = parseLogin(await readJsonObject(request, loginBytesMax))
    const { token, session } =
      wanted.method === 'password' ? await logins.byPassword(request, wanted) : await core.sessions.loginByToken(wanted)
    return reply
      .code(201)
      .headers({ 'x-subject-token': token, vary: 'X-Auth-Token' })
      .send(tokenBody(session, catalogFor(request)))
  })

  // HEAD is answered by the same handler, without the body.
  app.get('/auth/tokens', async (request, reply) => {
    const { token, session } = await subject(request)
    return reply
      .headers({ 'x-subject-token': token, vary: 'X-Auth-Token' })
      .send(tokenBody(session, catalogFor(request)))
  })

  app.delete('/auth/tokens', async (request, reply) => {
    const { token } = await subject(request)
    await core.sessions.revoke(token)
    return reply.code(204).send()
  })

  app.get('/auth/catalog', async (request) => {
    const { project } = requireProject(request)
    return listOf('catalog', serviceCatalog(baseUrl(request, urls), project.id), request, urls)
  })

  app.get('/auth/projects', async (request, reply) => {
    const userId = requireCaller(request).user.id
    return sendListOf(request, reply, urls, {
      name: 'projects',
      isWanted: filterOf(request, identityParameters['/auth/projects']),
      slices: (pace) => core.identity.projectSlices({ userId, enabled: true }, pace),
      view: (project) => projectBody(project, request, urls),
    })
  })

  app.get('/auth/domains', async (request) => {
    requireCaller(request)
    const found = filtered(request, [defaultDomain(request, urls)], identityParameters['/auth/domains'])
    return listOf('domains', found, request, urls)
  })

  app.get('/auth/system', async (request) => {
    requireCaller(request)
    return listOf('system', [], request, urls)
  })

  function catalogFor(request: FastifyRequest): string | undefined {
    return queryParameter(request, 'nocatalog') === undefined ? baseUrl(request, urls) : undefined
  }

  /** The token that is asked about: the caller's own, or, for an admin, anyone's. */
  async function subject(request: FastifyRequest): Promise<{ token: string; session: Session }> {
    const caller = requireCaller(request)
    const token = request.headers['x-subject-token']
    const session = typeof token === 'string' ? await sessionOf(core, token) : null
    if (typeof token !== 'string' || session === null) throw new TokenNotFound()
    if (!caller.isAdmin && session.caller.user.id !== caller.user.id) throw new Forbidden('the token is another user’s')
    return { token, session }
  }
}
