/** `/v3/credentials`, and EC2 keys as a view of them: each user's own, or anybody's for an admin. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Credential, Ec2Credential } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireCaller } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { fieldsOf } from '../requests/fields.js'
import { listOf } from '../responses/list.js'
import { self } from '../responses/resources.js'

type ById = { Params: { id: string } }
type Ec2 = { Params: { id: string; access: string } }

export function addCredentials(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { credentials } = core.identity

  app.get('/credentials', async (request) => {
    const caller = requireCaller(request)
    const asked = queryParameter(request, 'user_id')
    const userId = caller.isAdmin ? asked : (asked ?? caller.user.id)
    authorize(request, 'get_credential', { userId })
    const found = await credentials.list({ userId, type: queryParameter(request, 'type') })
    const bodies = found.map((each) => body(each, request))
    return listOf('credentials', bodies, request, urls)
  })

  app.post('/credentials', async (request, reply) => {
    const fields = fieldsOf(await readJsonObject(request), 'credential')
    fields.requireKnown(known)
    const userId = fields.text('user_id') ?? requireCaller(request).user.id
    const caller = authorize(request, 'create_credential', { userId })
    const wanted = {
      userId,
      projectId: fields.text('project_id'),
      type: fields.requiredText('type'),
      blob: fields.requiredText('blob'),
    }
    return reply.code(201).send({ credential: body(await credentials.create(wanted, caller), request) })
  })

  app.get<ById>('/credentials/:id', async (request) => {
    const credential = await credentials.get(request.params.id)
    authorize(request, 'get_credential', { userId: credential.userId })
    return { credential: body(credential, request) }
  })

  app.patch<ById>('/credentials/:id', async (request) => {
    const { id, userId } = await credentials.get(request.params.id)
    const caller = authorize(request, 'update_credential', { userId })
    const fields = fieldsOf(await readJsonObject(request), 'credential')
    fields.requireKnown(known)
    const change = {
      userId: fields.text('user_id'),
      projectId: fields.nullableText('project_id'),
      type: fields.text('type'),
      blob: fields.text('blob'),
    }
    authorize(request, 'update_credential', { userId: change.userId ?? userId })
    return { credential: body(await credentials.update(id, change, caller), request) }
  })

  app.delete<ById>('/credentials/:id', async (request, reply) => {
    const { id, userId } = await credentials.get(request.params.id)
    await credentials.delete(id, authorize(request, 'delete_credential', { userId }))
    return reply.code(204).send()
  })

  const body = ({ id, userId, projectId, type, blob }: Credential, request: FastifyRequest) => ({
    id,
    user_id: userId,
    project_id: projectId,
    type,
    blob,
    links: self(request, urls, `credentials/${id}`),
  })

  // ---- EC2 ----

  app.get<ById>('/users/:id/credentials/OS-EC2', async (request) => {
    const { id } = request.params
    authorize(request, 'get_credential', { userId: id })
    const bodies = (await credentials.listEc2(id)).map((each) => ec2Body(each, request))
    return listOf('credentials', bodies, request, urls)
  })

  app.post<ById>('/users/:id/credentials/OS-EC2', async (request, reply) => {
    const { id } = request.params
    const caller = authorize(request, 'create_credential', { userId: id })
    const fields = fieldsOf({ body: await readJsonObject(request) }, 'body')
    const credential = await credentials.createEc2(id, fields.requiredText('tenant_id'), caller)
    return reply.code(201).send({ credential: ec2Body(credential, request) })
  })

  app.get<Ec2>('/users/:id/credentials/OS-EC2/:access', async (request) => {
    const { id, access } = request.params
    authorize(request, 'get_credential', { userId: id })
    return { credential: ec2Body(await credentials.getEc2(id, access), request) }
  })

  app.delete<Ec2>('/users/:id/credentials/OS-EC2/:access', async (request, reply) => {
    const { id, access } = request.params
    await credentials.deleteEc2(id, access, authorize(request, 'delete_credential', { userId: id }))
    return reply.code(204).send()
  })

  const ec2Body = ({ userId, projectId, access, secret }: Ec2Credential, request: FastifyRequest) => ({
    user_id: userId,
    tenant_id: projectId,
    access,
    secret,
    trust_id: null,
    links: self(request, urls, `users/${userId}/credentials/OS-EC2/${access}`),
  })
}

const known = ['user_id', 'project_id', 'type', 'blob', 'id', 'links']
