/** `/v3/projects`: the tree of projects and their tags. For admins; everybody may look at the project of their token. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { TaggedProject } from '../../../../core/model/records.js'
import { readJsonObject } from '../../../shared/body.js'
import type { ApiOptions } from '../../../shared/api.js'
import { BadParameter, MalformedBody, TagNotFound } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filterOf, flagParameter } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { sendListOf } from '../responses/list.js'
import { projectBody, self } from '../responses/resources.js'

type ById = { Params: { id: string } }
type Tag = { Params: { id: string; tag: string } }

export function addProjects(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { projects } = core.identity
  const body = (project: TaggedProject, request: FastifyRequest) => projectBody(project, request, urls)

  app.get('/projects', async (request, reply) => {
    authorize(request, 'list_projects')
    const filter = {
      name: queryParameter(request, 'name'),
      domainId: queryParameter(request, 'domain_id'),
      parentId: queryParameter(request, 'parent_id'),
      isDomain: flagParameter(request, 'is_domain'),
    }
    return sendListOf(request, reply, urls, {
      name: 'projects',
      isWanted: filterOf(request, identityParameters['/projects']),
      slices: (pace) => projects.slices(filter, pace),
      view: (project) => body(project, request),
    })
  })

  app.post('/projects', async (request, reply) => {
    const caller = authorize(request, 'create_project')
    const fields = fieldsOf(await readJsonObject(request), 'project')
    const wanted = {
      ...changeOf(fields),
      name: fields.requiredText('name'),
      domainId: fields.text('domain_id'),
      parentId: fields.text('parent_id'),
      isDomain: fields.flag('is_domain'),
    }
    const project = await projects.create(wanted, caller)
    return reply.code(201).send({ project: body(project, request) })
  })

  app.get<ById>('/projects/:id', async (request) => {
    const { id } = request.params
    authorize(request, 'get_project', { projectId: id })
    const project = await projects.get(id)
    return { project: { ...body(project, request), ...(await treeOf(project, request)) } }
  })

  app.patch<ById>('/projects/:id', async (request) => {
    const caller = authorize(request, 'update_project')
    const fields = fieldsOf(await readJsonObject(request), 'project')
    const now = body(await projects.get(request.params.id), request)
    for (const name of ['domain_id', 'parent_id', 'is_domain'] as const) fields.requireUnchanged(name, now[name])
    const change = { ...changeOf(fields), name: fields.text('name') }
    return { project: body(await projects.update(request.params.id, change, caller), request) }
  })

  app.delete<ById>('/projects/:id', async (request, reply) => {
    await projects.delete(request.params.id, authorize(request, 'delete_project'))
    return reply.code(204).send()
  })

  /** What the query asks for of the projects above and below. */
  async function treeOf(project: TaggedProject, request: FastifyRequest) {
    const wants = (name: string) => flagParameter(request, name)
    const [parentList, parentIds] = [wants('parents_as_list'), wants('parents_as_ids')]
    const [childList, childIds] = [wants('subtree_as_list'), wants('subtree_as_ids')]
    if ((parentList && parentIds) || (childList && childIds))
      throw new BadParameter('expected either a list or IDs, got both')
    const parents = parentList || parentIds ? await projects.parents(project.id) : []
    const below = childList || childIds ? await projects.subtree(project.id) : []
    return {
      ...(parentList && { parents: parents.map((each) => ({ project: body(each, request) })) }),
      ...(parentIds && { parents: parents.reduceRight<IdTree | null>((tree, { id }) => ({ [id]: tree }), null) }),
      ...(childList && { subtree: below.map((each) => ({ project: body(each, request) })) }),
      ...(childIds && { subtree: idTree(project.id, below) }),
    }
  }

  // ---- tags ----

  app.get<ById>('/projects/:id/tags', async (request) => {
    const { id } = request.params
    authorize(request, 'list_project_tags', { projectId: id })
    return tagsBody(await projects.get(id), request)
  })

  app.put<ById>('/projects/:id/tags', async (request) => {
    const caller = authorize(request, 'update_project_tags')
    const tags = fieldsOf({ body: await readJsonObject(request) }, 'body').texts('tags')
    if (tags === undefined) throw new MalformedBody('tags must be given')
    return tagsBody(await projects.update(request.params.id, { tags }, caller), request)
  })

  app.delete<ById>('/projects/:id/tags', async (request, reply) => {
    await projects.update(request.params.id, { tags: [] }, authorize(request, 'update_project_tags'))
    return reply.code(204).send()
  })

  // HEAD is answered by the same handler.
  app.get<Tag>('/projects/:id/tags/:tag', async (request, reply) => {
    const { id, tag } = request.params
    authorize(request, 'list_project_tags', { projectId: id })
    if (!(await projects.get(id)).tags.includes(tag)) throw new TagNotFound()
    return reply.code(204).send()
  })

  app.put<Tag>('/projects/:id/tags/:tag', async (request, reply) => {
    const { id, tag } = request.params
    await projects.addTag(id, tag, authorize(request, 'update_project_tags'))
    return reply
      .code(201)
      .header('location', self(request, urls, `projects/${id}/tags/${tag}`).self)
      .send()
  })

  app.delete<Tag>('/projects/:id/tags/:tag', async (request, reply) => {
    const { id, tag } = request.params
    const had = await projects.removeTag(id, tag, authorize(request, 'update_project_tags'))
    if (!had) throw new TagNotFound()
    return reply.code(204).send()
  })

  function tagsBody({ id, tags }: TaggedProject, request: FastifyRequest) {
    return { tags, links: self(request, urls, `projects/${id}/tags`) }
  }
}

interface IdTree {
  [id: string]: IdTree | null
}

function idTree(rootId: string, below: readonly TaggedProject[]): IdTree | null {
  const children = below.filter(({ parentId }) => parentId === rootId)
  return children.length === 0 ? null : Object.fromEntries(children.map(({ id }) => [id, idTree(id, below)]))
}

const known = ['name', 'domain_id', 'parent_id', 'is_domain', 'description', 'enabled', 'tags', 'parents', 'subtree']

const changeOf = (fields: Fields) => ({
  description: fields.text('description'),
  enabled: fields.flag('enabled'),
  tags: fields.texts('tags'),
  extra: fields.extra(known),
})
