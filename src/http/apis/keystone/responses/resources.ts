/** Users, groups, projects, domains and roles in the Identity API's format. */

import type { FastifyRequest } from 'fastify'
import type { Group, Role, TaggedProject, User } from '../../../../core/model/records.js'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'

export function userBody(user: User, request: FastifyRequest, urls: UrlSettings) {
  return {
    ...user.extra,
    id: user.id,
    name: user.name,
    domain_id: user.domain.id,
    enabled: user.enabled,
    description: user.description,
    ...(user.email !== null && { email: user.email }),
    ...(user.defaultProjectId !== null && { default_project_id: user.defaultProjectId }),
    password_expires_at: null,
    options: {},
    links: self(request, urls, `users/${user.id}`),
  }
}

export function groupBody(group: Group, request: FastifyRequest, urls: UrlSettings) {
  return {
    ...group.extra,
    id: group.id,
    name: group.name,
    domain_id: group.domain.id,
    description: group.description,
    links: self(request, urls, `groups/${group.id}`),
  }
}

export function projectBody(project: TaggedProject, request: FastifyRequest, urls: UrlSettings) {
  return {
    ...project.extra,
    id: project.id,
    name: project.name,
    domain_id: project.isDomain ? null : project.domain.id,
    parent_id: project.parentId,
    is_domain: project.isDomain,
    enabled: project.enabled,
    description: project.description,
    tags: project.tags,
    options: {},
    links: self(request, urls, `projects/${project.id}`),
  }
}

export function domainBody(domain: TaggedProject, request: FastifyRequest, urls: UrlSettings) {
  return {
    ...domain.extra,
    id: domain.id,
    name: domain.name,
    enabled: domain.enabled,
    description: domain.description,
    tags: domain.tags,
    options: {},
    links: self(request, urls, `domains/${domain.id}`),
  }
}

export function roleBody(role: Role, request: FastifyRequest, urls: UrlSettings) {
  return {
    ...role.extra,
    id: role.id,
    name: role.name,
    domain_id: role.domainId,
    description: role.description === '' ? null : role.description,
    options: role.isFixed ? { immutable: true } : {},
    links: self(request, urls, `roles/${role.id}`),
  }
}

/** `path`: below `/v3/`. */
export function self(request: FastifyRequest, urls: UrlSettings, path: string): { self: string } {
  return { self: `${baseUrl(request, urls)}/v3/${path}` }
}
