/**
 * Who there is: users and groups, the projects and domains that they work in, their roles, and the credentials of programs.
 *
 * Functions that change something are for administrators, except where they say otherwise: `by` is the caller, whose rights are checked
 * in the transaction that changes something. Without `by` it is the server itself or its operator who asks.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { User } from '../model/records.js'
import { ApplicationCredentials } from './application_credentials.js'
import { CatalogEntries } from './catalog_entries.js'
import { Credentials } from './credentials.js'
import { Grants, insertGrant } from './grants.js'
import { Groups } from './groups.js'
import { defaultDomainId, nameKey } from './names.js'
import type { Passwords } from './passwords.js'
import { insertProject, Projects } from './projects.js'
import { requireRole, type RoleName, Roles, seedRoles } from './roles.js'
import { insertUser, type NewUser, Users } from './users.js'

export class Identity {
  readonly users: Users
  readonly groups: Groups
  readonly projects: Projects
  readonly roles: Roles
  readonly grants: Grants
  readonly applicationCredentials: ApplicationCredentials
  readonly credentials: Credentials
  readonly catalogEntries: CatalogEntries
  readonly #catalog: Catalog

  constructor(catalog: Catalog, passwords: Passwords) {
    this.#catalog = catalog
    this.users = new Users(catalog, passwords)
    this.groups = new Groups(catalog)
    this.projects = new Projects(catalog)
    this.roles = new Roles(catalog)
    this.grants = new Grants(catalog)
    this.applicationCredentials = new ApplicationCredentials(catalog, passwords)
    this.credentials = new Credentials(catalog)
    this.catalogEntries = new CatalogEntries(catalog)
  }

  /**
   * A user with a role in a project of the default domain, all in one transaction; the project is made when there is none of that name.
   * What `atoll user create` and the first start do. Throws NameTaken for the user, RoleNotFound, BadPassword.
   */
  async createMember(member: { user: NewUser; project: string; role: RoleName | string }): Promise<User> {
    const passwordHash = await this.users.hashOf(member.user)
    return this.#catalog.transaction(async (tx) => {
      await seedRoles(tx)
      const role = await requireRole(tx.db, { name: member.role })
      const found = await tx.db
        .selectFrom('projects')
        .select('id')
        .where('name_key', '=', nameKey(defaultDomainId, member.project))
        .executeTakeFirst()
      const projectId = found?.id ?? (await insertProject(tx, { name: member.project })).id
      const user = await insertUser(tx, { ...member.user, defaultProjectId: projectId }, passwordHash)
      await insertGrant(tx, { userId: user.id, projectId, roleId: role.id })
      return user
    })
  }
}
