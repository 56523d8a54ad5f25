/** `/v3/auth/*`: logging in and out, and what a token is good for. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Login } from '../../../../core/identity/sessions.js'
import type { Caller, Session } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireCaller, sessionOf } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { Forbidden, TokenNotFound } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { filterOf } from '../requests/list_filters.js'
import { type LoginRequest, parseLogin } from '../requests/login_request.js'
import { identityParameters } from '../requests/parameters.js'
import { listOf, sendListOf } from '../responses/list.js'
import { domainBody, projectBody } from '../responses/resources.js'
import { type CatalogService, serviceCatalog } from '../responses/service_catalog.js'
import { tokenBody } from '../responses/token.js'
import { allEntries } from './entries.js'

/** Strangers may send one, on as many connections as there are. */
const loginBytesMax = 64 << 10

export function addTokens(app: FastifyInstance, { core, urls, logins }: ApiOptions): void {
  app.post('/auth/tokens', async (request, reply) => {
    const wanted = parseLogin(await readJsonObject(request, loginBytesMax))
    const { token, session } = await loginBy(request, wanted)
    return reply
      .code(201)
      .headers({ 'x-subject-token': token, vary: 'X-Auth-Token' })
      .send(tokenBody(session, await catalogFor(request, session)))
  })

  // HEAD is answered by the same handler, without the body.
  app.get('/auth/tokens', async (request, reply) => {
    const { token, session } = await subject(request)
    return reply
      .headers({ 'x-subject-token': token, vary: 'X-Auth-Token' })
      .send(tokenBody(session, await catalogFor(request, session)))
  })

  app.delete('/auth/tokens', async (request, reply) => {
    const { token } = await subject(request)
    await core.sessions.revoke(token)
    return reply.code(204).send()
  })

  app.get('/auth/catalog', async (request) => {
    const caller = requireCaller(request)
    if (!caller.project && !caller.domain && !caller.system) throw new Forbidden('this needs a token with a scope')
    return listOf('catalog', await catalogOf(request, caller), request, urls)
  })

  app.get('/auth/projects', async (request, reply) => {
    const userId = requireCaller(request).user.id
    return sendListOf(request, reply, urls, {
      name: 'projects',
      isWanted: filterOf(request, identityParameters['/auth/projects']),
      slices: (pace) => core.identity.projects.slices({ userId, enabled: true }, pace),
      view: (project) => projectBody(project, request, urls),
    })
  })

  app.get('/auth/domains', async (request, reply) => {
    const userId = requireCaller(request).user.id
    return sendListOf(request, reply, urls, {
      name: 'domains',
      isWanted: filterOf(request, identityParameters['/auth/domains']),
      slices: (pace) => core.identity.projects.slices({ userId, isDomain: true, enabled: true }, pace),
      view: (domain) => domainBody(domain, request, urls),
    })
  })

  app.get('/auth/system', async (request) => {
    const has = await core.sessions.mayUseSystem(requireCaller(request))
    return listOf('system', has ? [{ all: true }] : [], request, urls)
  })

  function loginBy(request: FastifyRequest, wanted: LoginRequest): Promise<Login> {
    if (wanted.method === 'password') return logins.byPassword(request, wanted)
    if (wanted.method === 'token') return core.sessions.loginByToken(wanted)
    return logins.byCredential(request, wanted)
  }

  async function catalogFor(request: FastifyRequest, session: Session): Promise<CatalogService[] | undefined> {
    return queryParameter(request, 'nocatalog') === undefined ? catalogOf(request, session.caller) : undefined
  }

  async function catalogOf(request: FastifyRequest, { project, user }: Caller): Promise<CatalogService[]> {
    return serviceCatalog(await allEntries(core, urls, request), { projectId: project?.id, userId: user.id })
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
