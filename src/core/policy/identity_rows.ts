/** Users, projects and domains as they are stored and as they are presented. */

import type { ProjectRow, UserRow } from '../../catalog/schema.js'
import type { DomainReference, Extra, Project, User } from '../model/records.js'

export const extraOf = (stored: string): Extra => JSON.parse(stored) as Extra

/** Rows of users and projects carry the name of their domain. */
export type WithDomain<Row> = Row & { domain_name: string }

const domainOf = (row: WithDomain<UserRow> | WithDomain<ProjectRow>): DomainReference => ({
  id: row.domain_id,
  name: row.domain_name,
})

export const toUser = (row: WithDomain<UserRow>): User => ({
  id: row.id,
  name: row.name,
  domain: domainOf(row),
  enabled: row.enabled === 1,
  description: row.description,
  email: row.email,
  defaultProjectId: row.default_project_id,
  extra: extraOf(row.extra),
  createdAt: row.created_at,
})

export const toProject = (row: WithDomain<ProjectRow>): Project => ({
  id: row.id,
  name: row.name,
  domain: domainOf(row),
  parentId: row.parent_id,
  isDomain: row.is_domain === 1,
  enabled: row.enabled === 1,
  description: row.description,
  extra: extraOf(row.extra),
  createdAt: row.created_at,
})
