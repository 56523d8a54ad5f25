/** Users, projects, roles and domains as the Identity API shows them. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Project, Role, User } from '../../../../core/model/records.js'
import { SlicePace } from '../../../../core/lists/slices.js'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { sendJsonList } from '../../../shared/json_list.js'
import { filterOf } from '../requests/list_filters.js'

/** There is one domain. */
export const domainReference = { id: 'default', name: 'Default' }

export function defaultDomain(request: FastifyRequest, urls: UrlSettings) {
  return {
    ...domainReference,
    description: 'The only domain',
    enabled: true,
    options: {},
    links: self(request, urls, 'domains', domainReference.id),
  }
}

export function userBody(user: User, request: FastifyRequest, urls: UrlSettings) {
  return {
    id: user.id,
    name: user.name,
    domain_id: domainReference.id,
    enabled: user.enabled,
    description: user.description,
    ...(user.email !== null && { email: user.email }),
    ...(user.defaultProjectId !== null && { default_project_id: user.defaultProjectId }),
    password_expires_at: null,
    options: {},
    links: self(request, urls, 'users', user.id),
  }
}

export function projectBody(project: Project, request: FastifyRequest, urls: UrlSettings) {
  return {
    id: project.id,
    name: project.name,
    domain_id: domainReference.id,
    parent_id: domainReference.id,
    is_domain: false,
    enabled: project.enabled,
    description: project.description,
    tags: [],
    options: {},
    links: self(request, urls, 'projects', project.id),
  }
}

export function roleBody(role: Role, request: FastifyRequest, urls: UrlSettings) {
  return {
    id: role.id,
    name: role.name,
    domain_id: null,
    description: null,
    options: {},
    links: self(request, urls, 'roles', role.id),
  }
}

/** `{<name>: [...], links}`; nothing is paged. */
export function listOf<Item>(name: string, items: Item[], request: FastifyRequest, urls: UrlSettings) {
  return { [name]: items, ...listLinks(request, urls) }
}

/** The same of a list of any length. */
export function sendListOf<Item, Body extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  urls: UrlSettings,
  list: {
    name: string
    /** Parameters that are filters (list_filters.ts). */
    filters?: readonly string[]
    slices: (pace: SlicePace) => AsyncIterable<Item[]>
    view: (item: Item) => Body
  },
): Promise<FastifyReply> {
  const { name, filters = [], slices, view } = list
  const isWanted = filterOf(request, filters)
  const pace = new SlicePace()
  const rest = () => listLinks(request, urls)
  async function* bodies(): AsyncGenerator<Body[], void, void> {
    for await (const slice of slices(pace)) yield slice.map(view).filter(isWanted)
  }
  return sendJsonList(request, reply, { name, pace, slices: bodies, view: (body) => body, rest })
}

function listLinks(request: FastifyRequest, urls: UrlSettings) {
  const [path] = request.originalUrl.split('?')
  return { links: { self: `${baseUrl(request, urls)}${path}`, previous: null, next: null } }
}

function self(request: FastifyRequest, urls: UrlSettings, collection: string, id: string): { self: string } {
  return { self: `${baseUrl(request, urls)}/v3/${collection}/${id}` }
}
