/** Users, projects, roles and domains in the Identity API's format. */

import type { FastifyRequest } from 'fastify'
import type { Project, Role, User } from '../../../../core/model/records.js'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'

/** The only domain. */
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

function self(request: FastifyRequest, urls: UrlSettings, collection: string, id: string): { self: string } {
  return { self: `${baseUrl(request, urls)}/v3/${collection}/${id}` }
}
