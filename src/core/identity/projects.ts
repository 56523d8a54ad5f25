/**
 * Projects and domains. A domain is a project that is its own domain; a project has a parent, which is its domain or another project
 * of that domain. Who is above whom never changes, and is kept in `project_ancestors`.
 */

import type { Catalog } from '../../catalog/catalog.js'
import { behind, type Sort } from '../../catalog/paging.js'
import { flag, type ProjectRow } from '../../catalog/schema.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import { grouped } from '../../lib/grouped.js'
import { newProjectId, type ProjectId, type UserId } from '../../lib/ids.js'
import { column } from '../lists/pages.js'
import { collected, rowsInSlices, SlicePace } from '../lists/slices.js'
import {
  DomainNotDisabled,
  DomainNotFound,
  InvalidArgument,
  ProjectHasChildren,
  ProjectHasEnabledChildren,
  ProjectNotEmpty,
  ProjectNotFound,
  ProjectTooDeep,
  DefaultDomainFixed,
} from '../model/errors.js'
import type { Caller, Extra, TaggedProject } from '../model/records.js'
import { extraOf, toProject, type WithDomain } from '../policy/identity_rows.js'
import { requireStillAdmin } from '../policy/rights.js'
import { removeGroups } from './groups.js'
import { defaultDomainId, nameKey, requireDomain, requireFreeName, storedExtra } from './names.js'
import { removeRoles } from './roles.js'
import { deleteTokens } from './token_rows.js'
import { removeUsers } from './users.js'

export interface NewProject {
  name: string
  description?: string | undefined
  enabled?: boolean | undefined
  /** Default: of the parent, else the default domain. */
  domainId?: string | undefined
  /** A project or a domain. Default: the domain. */
  parentId?: string | undefined
  isDomain?: boolean | undefined
  tags?: readonly string[] | undefined
  extra?: Extra | undefined
}

export interface ProjectFilter {
  name?: string | undefined
  enabled?: boolean | undefined
  domainId?: string | undefined
  parentId?: string | undefined
  /** Default: false. */
  isDomain?: boolean | undefined
  /** In which this user has a role. */
  userId?: string | undefined
}

/** As in Keystone, the domain included. */
const depthMax = 5
const tagsMax = 80
const tagLengthMax = 255

export class Projects {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** A project or a domain. Throws ProjectNotFound. */
  async get(id: string): Promise<TaggedProject> {
    return tagged(this.#catalog.db, await requireProject(this.#catalog.db, id))
  }

  /** Throws DomainNotFound. */
  async domain(id: string): Promise<TaggedProject> {
    return tagged(this.#catalog.db, await requireDomainRow(this.#catalog.db, id))
  }

  async list(filter: ProjectFilter = {}): Promise<TaggedProject[]> {
    return collected(this.slices(filter))
  }

  /** By name. */
  async *slices(filter: ProjectFilter = {}, pace = new SlicePace()): AsyncGenerator<TaggedProject[], void, void> {
    const { name, enabled, domainId, parentId, isDomain = false, userId } = filter
    const { db } = this.#catalog
    let query = rows(db)
      .where('projects.is_domain', '=', flag(isDomain))
      .orderBy('projects.name')
      .orderBy('projects.id')
    if (name !== undefined) query = query.where('projects.name', '=', name)
    if (enabled !== undefined) query = query.where('projects.enabled', '=', flag(enabled))
    if (domainId !== undefined) query = query.where('projects.domain_id', '=', domainId as ProjectId)
    if (parentId !== undefined) query = query.where('projects.parent_id', '=', parentId as ProjectId)
    if (userId !== undefined) query = query.where('projects.id', 'in', grantedTo(db, userId as UserId))
    const slices = rowsInSlices<WithDomain<ProjectRow>>(pace, (size, last) =>
      (last === undefined ? query : query.where(behind(byName, [last.name, last.id]))).limit(size).execute(),
    )
    for await (const slice of slices) yield await allTagged(db, slice)
  }

  /** Those above a project, nearest first, without its domain. Throws ProjectNotFound. */
  async parents(id: string): Promise<TaggedProject[]> {
    const { db } = this.#catalog
    const project = await requireProject(db, id)
    const found = await rows(db)
      .innerJoin('project_ancestors', 'project_ancestors.ancestor_id', 'projects.id')
      .where('project_ancestors.project_id', '=', project.id)
      .where('project_ancestors.depth', '>', 0)
      .where('projects.is_domain', '=', 0)
      .orderBy('project_ancestors.depth')
      .execute()
    return allTagged(db, found)
  }

  /** All those below a project, the nearest first. Throws ProjectNotFound. */
  async subtree(id: string): Promise<TaggedProject[]> {
    const { db } = this.#catalog
    const project = await requireProject(db, id)
    const found = await rows(db)
      .innerJoin('project_ancestors', 'project_ancestors.project_id', 'projects.id')
      .where('project_ancestors.ancestor_id', '=', project.id)
      .where('project_ancestors.depth', '>', 0)
      .orderBy('project_ancestors.depth')
      .orderBy('projects.name')
      .orderBy('projects.id')
      .execute()
    return allTagged(db, found)
  }

  /** Throws NameTaken, InvalidArgument, DomainNotFound, ProjectNotFound, ProjectTooDeep. */
  async create(project: NewProject, by?: Caller): Promise<TaggedProject> {
    return this.#catalog.transaction(async (tx) => {
      if (by !== undefined) await requireStillAdmin(tx.db, by)
      return insertProject(tx, project)
    })
  }

  /**
   * Tokens for a disabled project are revoked, and with them those that were obtained with one; disabling a domain revokes those of its
   * users and for its projects. Throws ProjectHasEnabledChildren.
   */
  async update(
    id: string,
    change: { [Field in 'name' | 'description' | 'enabled' | 'tags' | 'extra']?: NewProject[Field] | undefined },
    by?: Caller,
  ): Promise<TaggedProject> {
    return this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const { domain_name, ...row } = await requireProject(db, id)
      const isDomain = row.is_domain === 1
      const domainOfName = isDomain ? null : row.domain_id
      const name = change.name ?? row.name
      if (name !== row.name) await requireFreeName(db, isDomain ? 'domain' : 'project', domainOfName, name)
      const disables = change.enabled === false && row.enabled === 1
      if (disables && row.id === defaultDomainId) throw new DefaultDomainFixed('disabled')
      if (disables && !isDomain) await requireNoEnabledChildren(db, row.id)
      const next: ProjectRow = {
        ...row,
        name,
        name_key: nameKey(domainOfName, name),
        description: change.description ?? row.description,
        enabled: change.enabled === undefined ? row.enabled : flag(change.enabled),
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await db.updateTable('projects').set(next).where('id', '=', row.id).execute()
      if (change.tags !== undefined) await setTags(db, row.id, change.tags)
      if (change.enabled === false) await revokeTokensOf(db, row)
      return tagged(db, { ...next, domain_name: isDomain ? name : domain_name })
    })
  }

  /** Throws ProjectNotFound, ProjectHasChildren, ProjectNotEmpty; of a domain, see `deleteDomain`. */
  async delete(id: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await requireProject(db, id)
      if (row.is_domain === 1) return removeDomain(db, row)
      await requireNoChildren(db, row.id)
      await removeProject(db, row.id)
    })
  }

  /**
   * A domain with its users, groups, projects and roles; it must have been disabled. Throws DomainNotFound, DomainNotDisabled,
   * ProjectNotEmpty when a project owns something.
   */
  async deleteDomain(id: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      await removeDomain(db, await requireDomainRow(db, id))
    })
  }

  // ---- tags ----

  /** Adds a tag; idempotent. Throws ProjectNotFound, InvalidArgument. */
  async addTag(id: string, tag: string, by?: Caller): Promise<void> {
    await this.#changeTags(id, (tags) => [...new Set([...tags, tag])], by)
  }

  /** Returns false if the project has no such tag. Throws ProjectNotFound. */
  async removeTag(id: string, tag: string, by?: Caller): Promise<boolean> {
    let had = false
    await this.#changeTags(
      id,
      (tags) => {
        had = tags.includes(tag)
        return tags.filter((each) => each !== tag)
      },
      by,
    )
    return had
  }

  async #changeTags(id: string, change: (tags: string[]) => string[], by: Caller | undefined): Promise<void> {
    await this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await requireProject(db, id)
      const { tags } = await tagged(db, row)
      await setTags(db, row.id, change(tags))
    })
  }
}

const byName: Sort[] = ['projects.name', 'projects.id'].map((key) => ({ expression: column(key), direction: 'asc' }))

const rows = (db: Reader) =>
  db
    .selectFrom('projects')
    .innerJoin('projects as domains', 'domains.id', 'projects.domain_id')
    .selectAll('projects')
    .select('domains.name as domain_name')

/** The IDs of projects and domains in which a user has a role, by whatever grant. */
const grantedTo = (db: Reader, userId: UserId) =>
  db
    .selectFrom('actors')
    .innerJoin('grants', 'grants.actor_id', 'actors.actor_id')
    .innerJoin('project_ancestors', 'project_ancestors.ancestor_id', 'grants.target_id')
    .select('project_ancestors.project_id')
    .where('actors.user_id', '=', userId)
    .where((e) =>
      e.or([
        e.and([e('project_ancestors.depth', '=', 0), e('grants.inherited', '=', 0)]),
        e.and([e('project_ancestors.depth', '>', 0), e('grants.inherited', '=', 1)]),
      ]),
    )

/** Of a project or a domain. Throws ProjectNotFound. */
export async function requireProject(db: Reader, id: string): Promise<WithDomain<ProjectRow>> {
  const row = await rows(db)
    .where('projects.id', '=', id as ProjectId)
    .executeTakeFirst()
  if (row === undefined) throw new ProjectNotFound(id)
  return row
}

async function requireDomainRow(db: Reader, id: string): Promise<WithDomain<ProjectRow>> {
  const row = await rows(db)
    .where('projects.id', '=', id as ProjectId)
    .where('projects.is_domain', '=', 1)
    .executeTakeFirst()
  if (row === undefined) throw new DomainNotFound(id)
  return row
}

async function tagged(db: Reader, row: WithDomain<ProjectRow>): Promise<TaggedProject> {
  const [project] = await allTagged(db, [row])
  return project as TaggedProject
}

async function allTagged(db: Reader, found: readonly WithDomain<ProjectRow>[]): Promise<TaggedProject[]> {
  if (found.length === 0) return []
  const ids = found.map(({ id }) => id)
  const tags = await db.selectFrom('project_tags').selectAll().where('project_id', 'in', ids).orderBy('tag').execute()
  const tagsOf = grouped(tags, ({ project_id }) => project_id)
  return found.map((row) => ({ ...toProject(row), tags: (tagsOf.get(row.id) ?? []).map(({ tag }) => tag) }))
}

/** Throws NameTaken, InvalidArgument, DomainNotFound, ProjectNotFound, ProjectTooDeep. */
export async function insertProject({ db }: Transaction, project: NewProject): Promise<TaggedProject> {
  const { name, isDomain = false } = project
  const id = newProjectId()
  const { domainId, parentId } = isDomain
    ? { domainId: requireRoot(id, project), parentId: null }
    : await placeOf(db, project)
  await requireFreeName(db, isDomain ? 'domain' : 'project', isDomain ? null : domainId, name)
  const row: ProjectRow = {
    id,
    name,
    name_key: nameKey(isDomain ? null : domainId, name),
    domain_id: domainId,
    parent_id: parentId,
    is_domain: flag(isDomain),
    enabled: flag(project.enabled ?? true),
    description: project.description ?? '',
    extra: storedExtra({}, project.extra),
    created_at: Date.now(),
  }
  await db.insertInto('projects').values(row).execute()
  const above = parentId === null ? [] : await ancestorsOf(db, parentId)
  if (above.length >= depthMax) throw new ProjectTooDeep(depthMax)
  const ancestors = [{ ancestor_id: id, depth: 0 }, ...above.map((each) => ({ ...each, depth: each.depth + 1 }))]
  await db
    .insertInto('project_ancestors')
    .values(ancestors.map((each) => ({ project_id: id, ...each })))
    .execute()
  if (project.tags !== undefined) await setTags(db, id, project.tags)
  return tagged(db, await requireProject(db, id))
}

const ancestorsOf = (db: Reader, id: ProjectId) =>
  db.selectFrom('project_ancestors').select(['ancestor_id', 'depth']).where('project_id', '=', id).execute()

function requireRoot(id: ProjectId, { domainId, parentId }: NewProject): ProjectId {
  if (domainId !== undefined || parentId !== undefined)
    throw new InvalidArgument('expected neither domain_id nor parent_id of a project that acts as a domain')
  return id
}

async function placeOf(
  db: Reader,
  { domainId, parentId }: NewProject,
): Promise<{ domainId: ProjectId; parentId: ProjectId }> {
  if (parentId === undefined) {
    const id = await requireDomain(db, domainId ?? defaultDomainId)
    return { domainId: id, parentId: id }
  }
  const parent = await requireProject(db, parentId)
  if (domainId !== undefined && domainId !== parent.domain_id)
    throw new InvalidArgument(`expected the parent's domain "${parent.domain_id}", got "${domainId}"`)
  return { domainId: parent.domain_id, parentId: parent.id }
}

async function setTags(db: Reader, id: ProjectId, tags: readonly string[]): Promise<void> {
  if (tags.length > tagsMax) throw new InvalidArgument(`expected at most ${tagsMax} tags, got ${tags.length}`)
  if (new Set(tags).size !== tags.length) throw new InvalidArgument('expected each tag once')
  for (const tag of tags) {
    if (tag === '' || tag.length > tagLengthMax || /[,/]/.test(tag))
      throw new InvalidArgument(`expected a tag of 1 to ${tagLengthMax} characters without "," and "/"`)
  }
  await db.deleteFrom('project_tags').where('project_id', '=', id).execute()
  if (tags.length === 0) return
  await db
    .insertInto('project_tags')
    .values(tags.map((tag) => ({ project_id: id, tag })))
    .execute()
}

const children = (db: Reader, id: ProjectId) => db.selectFrom('projects').select('id').where('parent_id', '=', id)

async function requireNoChildren(db: Reader, id: ProjectId): Promise<void> {
  if ((await children(db, id).executeTakeFirst()) !== undefined) throw new ProjectHasChildren(id)
}

async function requireNoEnabledChildren(db: Reader, id: ProjectId): Promise<void> {
  const enabled = await db
    .selectFrom('project_ancestors')
    .innerJoin('projects', 'projects.id', 'project_ancestors.project_id')
    .select('projects.id')
    .where('project_ancestors.ancestor_id', '=', id)
    .where('project_ancestors.depth', '>', 0)
    .where('projects.enabled', '=', 1)
    .executeTakeFirst()
  if (enabled !== undefined) throw new ProjectHasEnabledChildren(id)
}

async function revokeTokensOf(db: Reader, row: ProjectRow): Promise<void> {
  await deleteTokens(db, 'project_id', row.id)
  if (row.is_domain === 0) return
  const projects = await db
    .selectFrom('project_ancestors')
    .select('project_id')
    .where('ancestor_id', '=', row.id)
    .where('depth', '>', 0)
    .execute()
  for (const { project_id } of projects) await deleteTokens(db, 'project_id', project_id)
  const users = await db.selectFrom('users').select('id').where('domain_id', '=', row.id).execute()
  for (const { id } of users) await deleteTokens(db, 'user_id', id)
}

/** What a project may own, in the words of an error. */
const owned = [
  { table: 'containers', column: 'project_id', what: 'containers' },
  { table: 'images', column: 'owner', what: 'images' },
  { table: 'volumes', column: 'project_id', what: 'volumes' },
  { table: 'snapshots', column: 'project_id', what: 'snapshots' },
] as const

/** With its account, grants, tokens and credentials. Throws ProjectNotEmpty. */
async function removeProject(db: Reader, id: ProjectId): Promise<void> {
  const left: string[] = []
  for (const { table, column: owner, what } of owned) {
    const row = await db
      .selectFrom(table)
      .select('id')
      .where(owner as never, '=', id as never)
      .limit(1)
      .executeTakeFirst()
    if (row !== undefined) left.push(what)
  }
  if (left.length > 0) throw new ProjectNotEmpty(id, left.join(', '))
  await deleteTokens(db, 'project_id', id)
  await db.deleteFrom('grants').where('target_id', '=', id).execute()
  await db.updateTable('users').set({ default_project_id: null }).where('default_project_id', '=', id).execute()
  await db.deleteFrom('account_metadata').where('project_id', '=', id).execute()
  await db.deleteFrom('accounts').where('project_id', '=', id).execute()
  await db.deleteFrom('projects').where('id', '=', id).execute()
}

async function removeDomain(db: Reader, row: ProjectRow): Promise<void> {
  if (row.id === defaultDomainId) throw new DefaultDomainFixed('deleted')
  if (row.enabled === 1) throw new DomainNotDisabled(row.id)
  const users = await db.selectFrom('users').select('id').where('domain_id', '=', row.id).execute()
  const groups = await db.selectFrom('groups').select('id').where('domain_id', '=', row.id).execute()
  const roles = await db.selectFrom('roles').select('id').where('domain_id', '=', row.id).execute()
  const projects = await db
    .selectFrom('project_ancestors')
    .select('project_id as id')
    .where('ancestor_id', '=', row.id)
    .where('depth', '>', 0)
    .execute()
  const ids = <Id>(found: { id: Id }[]): Id[] => found.map((each) => each.id)
  await removeGroups(db, ids(groups))
  await removeUsers(db, ids(users))
  for (const project of ids(projects)) await removeProject(db, project)
  await removeRoles(db, ids(roles))
  await removeProject(db, row.id)
}
