/** `/v3/users/{user}/application_credentials` and `access_rules`: each user's own; admins may list and delete them. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AccessRule, ApplicationCredential } from '../../../../core/model/records.js'
import { isJsonObject, readJsonObject } from '../../../shared/body.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { MalformedBody } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import type { NewAccessRule } from '../../../../core/identity/application_credentials.js'
import { authorize } from '../requests/authorize.js'
import { fieldsOf } from '../requests/fields.js'
import { microsecondsOf, timeOf } from '../requests/times.js'
import { listOf } from '../responses/list.js'
import { self } from '../responses/resources.js'

type ByUser = { Params: { id: string } }
type ById = { Params: { id: string; credential: string } }
type Rule = { Params: { id: string; rule: string } }

export function addApplicationCredentials(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const credentials = core.identity.applicationCredentials

  app.get<ByUser>('/users/:id/application_credentials', async (request) => {
    const { id } = request.params
    authorize(request, 'list_application_credentials', { userId: id })
    const found = await credentials.list(id, { name: queryParameter(request, 'name') })
    const bodies = found.map((each) => body(each, request))
    return listOf('application_credentials', bodies, request, urls)
  })

  app.post<ByUser>('/users/:id/application_credentials', async (request, reply) => {
    authorize(request, 'create_application_credential', { userId: request.params.id })
    const fields = fieldsOf(await readJsonObject(request), 'application_credential')
    fields.requireKnown(known)
    const expires = fields.text('expires_at')
    const wanted = {
      name: fields.requiredText('name'),
      description: fields.text('description'),
      secret: fields.text('secret'),
      unrestricted: fields.flag('unrestricted'),
      expiresAtUs: expires === undefined ? undefined : microsecondsOf(expires),
      roles: fields.list('roles')?.map(roleOf),
      accessRules: fields.list('access_rules')?.map(ruleOf),
    }
    const caller = requireProject(request)
    const { credential, secret } = await credentials.create(wanted, caller)
    return reply.code(201).send({ application_credential: { ...body(credential, request), secret } })
  })

  app.get<ById>('/users/:id/application_credentials/:credential', async (request) => {
    const { id, credential } = request.params
    authorize(request, 'get_application_credential', { userId: id })
    return { application_credential: body(await credentials.get(id, credential), request) }
  })

  app.delete<ById>('/users/:id/application_credentials/:credential', async (request, reply) => {
    const { id, credential } = request.params
    const caller = authorize(request, 'delete_application_credential', { userId: id })
    await credentials.delete(id, credential, caller)
    return reply.code(204).send()
  })

  function body(credential: ApplicationCredential, request: FastifyRequest) {
    const { id, userId, expiresAtUs, accessRules } = credential
    return {
      id,
      name: credential.name,
      description: credential.description,
      project_id: credential.projectId,
      unrestricted: credential.unrestricted,
      expires_at: expiresAtUs === null ? null : timeOf(expiresAtUs),
      roles: credential.roles.map((role) => ({ id: role.id, name: role.name, domain_id: role.domainId })),
      ...(accessRules !== null && { access_rules: accessRules }),
      links: self(request, urls, `users/${userId}/application_credentials/${id}`),
    }
  }

  // ---- access rules ----

  app.get<ByUser>('/users/:id/access_rules', async (request) => {
    const { id } = request.params
    authorize(request, 'list_access_rules', { userId: id })
    const bodies = (await credentials.rules(id)).map((rule) => ruleBody(id, rule, request))
    return listOf('access_rules', bodies, request, urls)
  })

  app.get<Rule>('/users/:id/access_rules/:rule', async (request) => {
    const { id, rule } = request.params
    authorize(request, 'get_access_rule', { userId: id })
    return { access_rule: ruleBody(id, await credentials.rule(id, rule), request) }
  })

  app.delete<Rule>('/users/:id/access_rules/:rule', async (request, reply) => {
    const { id, rule } = request.params
    await credentials.deleteRule(id, rule, authorize(request, 'delete_access_rule', { userId: id }))
    return reply.code(204).send()
  })

  const ruleBody = (userId: string, rule: AccessRule, request: FastifyRequest) => ({
    ...rule,
    links: self(request, urls, `users/${userId}/access_rules/${rule.id}`),
  })
}

const known = ['name', 'description', 'secret', 'unrestricted', 'expires_at', 'roles', 'access_rules', 'project_id']

function roleOf(value: unknown): { id: string } | { name: string } {
  if (isJsonObject(value) && typeof value.id === 'string') return { id: value.id }
  if (isJsonObject(value) && typeof value.name === 'string') return { name: value.name }
  throw new MalformedBody('expected roles with an id or a name')
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'COPY', 'OPTIONS']
const pathLengthMax = 255

function ruleOf(value: unknown): NewAccessRule {
  if (!isJsonObject(value)) throw new MalformedBody('expected access rules that are objects')
  const { id, service, method, path } = value
  if (typeof id === 'string' && service === undefined && method === undefined && path === undefined) return { id }
  if (typeof service !== 'string' || typeof method !== 'string' || typeof path !== 'string')
    throw new MalformedBody('expected access rules with an id, or with service, method and path')
  if (!methods.includes(method)) throw new MalformedBody(`expected a method of ${methods.join(', ')}`)
  if (!path.startsWith('/') || path.length > pathLengthMax || service.length > pathLengthMax)
    throw new MalformedBody(`expected a path that begins with "/", of at most ${pathLengthMax} characters`)
  return { service, method, path }
}
