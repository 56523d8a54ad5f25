/** Users and projects as they are stored and as they are told. */

import type { ProjectRow, UserRow } from '../../catalog/schema.js'
import type { Project, User } from '../model/records.js'

export const toUser = (row: UserRow): User => ({
  id: row.id,
  name: row.name,
  enabled: row.enabled === 1,
  description: row.description,
  email: row.email,
  defaultProjectId: row.default_project_id,
  createdAt: row.created_at,
})

export const toProject = (row: ProjectRow): Project => ({
  id: row.id,
  name: row.name,
  enabled: row.enabled === 1,
  description: row.description,
  createdAt: row.created_at,
})
