/** Users, projects, roles and assignments. Functions that change something are for admins; the door checks `caller.isAdmin`. */
import type { ProjectId, RoleId, UserId } from '../lib/ids.js'
import type { Assignment, Project, Role, User } from './records.js'

export declare class Identity {
  /** Throws UserNotFound. */
  user(id: string): Promise<User>
  users(filter?: { name?: string | undefined; enabled?: boolean | undefined }): Promise<User[]>
  /** Throws NameTaken, BadPassword. */
  createUser(user: {
    name: string
    password: string
    description?: string | undefined
    email?: string | null | undefined
    enabled?: boolean | undefined
    defaultProjectId?: ProjectId | null | undefined
  }): Promise<User>
  /** A new password, a disabled user: all its tokens are revoked. */
  updateUser(
    id: string,
    change: {
      name?: string | undefined
      password?: string | undefined
      description?: string | undefined
      email?: string | null | undefined
      enabled?: boolean | undefined
      defaultProjectId?: ProjectId | null | undefined
    },
  ): Promise<User>
  deleteUser(id: string): Promise<void>

  project(id: string): Promise<Project>
  projects(filter?: { name?: string | undefined; enabled?: boolean | undefined }): Promise<Project[]>
  createProject(project: {
    name: string
    description?: string | undefined
    enabled?: boolean | undefined
  }): Promise<Project>
  updateProject(
    id: string,
    change: { name?: string | undefined; description?: string | undefined; enabled?: boolean | undefined },
  ): Promise<Project>

  /** `admin`, `member`, `reader`. */
  roles(filter?: { name?: string | undefined }): Promise<Role[]>
  role(id: string): Promise<Role>
  assignments(filter?: {
    userId?: string | undefined
    projectId?: string | undefined
    roleId?: string | undefined
  }): Promise<Assignment[]>
  /** Idempotent. */
  assign(assignment: { userId: UserId; projectId: ProjectId; roleId: RoleId }): Promise<void>
  /** Throws AssignmentNotFound. */
  unassign(assignment: { userId: UserId; projectId: ProjectId; roleId: RoleId }): Promise<void>
}
