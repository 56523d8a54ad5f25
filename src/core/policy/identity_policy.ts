/**
 * Who may call what in the Identity API: one row for each right, under the name that Keystone gives it. `admin` is whoever has the role
 * admin, whatever it was granted on. What the other services allow is said in access.ts.
 */

import { NotAllowed } from '../model/errors.js'
import type { Caller } from '../model/records.js'

/** Whom or what a call is about, as far as it matters. */
export interface Subject {
  userId?: string | undefined
  projectId?: string | undefined
  domainId?: string | undefined
}

type Rule = (caller: Caller, subject: Subject) => boolean

const admin: Rule = (caller) => caller.isAdmin
const owner: Rule = (caller, { userId }) => userId === caller.user.id
const adminOrOwner: Rule = (caller, subject) => caller.isAdmin || owner(caller, subject)
const adminOrOwnProject: Rule = (caller, { projectId }) =>
  caller.isAdmin || (projectId !== undefined && projectId === caller.project?.id)
const adminOrOwnDomain: Rule = (caller, { domainId }) =>
  caller.isAdmin ||
  [caller.user.domain.id, caller.project?.domain.id, caller.domain?.id].some(
    (id) => id !== undefined && id === domainId,
  )
const anyone: Rule = () => true

export const identityPolicy = {
  list_users: admin,
  get_user: adminOrOwner,
  create_user: admin,
  update_user: admin,
  delete_user: admin,
  list_user_projects: adminOrOwner,
  list_groups_for_user: adminOrOwner,

  list_groups: admin,
  get_group: admin,
  create_group: admin,
  update_group: admin,
  delete_group: admin,
  list_users_in_group: admin,
  check_user_in_group: adminOrOwner,
  add_user_to_group: admin,
  remove_user_from_group: admin,

  list_projects: admin,
  get_project: adminOrOwnProject,
  create_project: admin,
  update_project: admin,
  delete_project: admin,
  list_project_tags: adminOrOwnProject,
  update_project_tags: admin,

  list_domains: admin,
  get_domain: adminOrOwnDomain,
  create_domain: admin,
  update_domain: admin,
  delete_domain: admin,

  list_roles: admin,
  get_role: admin,
  create_role: admin,
  update_role: admin,
  delete_role: admin,
  list_implied_roles: admin,
  create_implied_role: admin,
  delete_implied_role: admin,

  list_role_assignments: adminOrOwner,
  list_grants: admin,
  check_grant: admin,
  create_grant: admin,
  revoke_grant: admin,

  list_application_credentials: adminOrOwner,
  get_application_credential: adminOrOwner,
  create_application_credential: owner,
  delete_application_credential: adminOrOwner,
  list_access_rules: adminOrOwner,
  get_access_rule: adminOrOwner,
  delete_access_rule: adminOrOwner,

  get_credential: adminOrOwner,
  create_credential: adminOrOwner,
  update_credential: adminOrOwner,
  delete_credential: adminOrOwner,

  list_services: admin,
  get_service: admin,
  change_services: admin,
  list_endpoints: admin,
  get_endpoint: admin,
  change_endpoints: admin,
  list_regions: anyone,
  get_region: anyone,
  change_regions: admin,
} as const satisfies Readonly<Record<string, Rule>>

export type IdentityRight = keyof typeof identityPolicy

/** Throws NotAllowed. */
export function requireIdentityRight(caller: Caller, right: IdentityRight, subject: Subject = {}): void {
  if (!identityPolicy[right](caller, subject)) throw new NotAllowed('admin')
}
