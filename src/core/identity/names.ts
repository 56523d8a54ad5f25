/** Names of users, projects, domains, groups and roles, and the free members that the Identity API keeps with them. */

import type { Reader } from '../../catalog/types.js'
import type { ProjectId } from '../../lib/ids.js'
import { DomainNotFound, InvalidArgument, NameTaken } from '../model/errors.js'
import type { Extra } from '../model/records.js'

export type NamedKind = 'user' | 'project' | 'domain' | 'group' | 'role' | 'application credential'

const lengthMax: Readonly<Record<NamedKind, number>> = {
  user: 255,
  project: 64,
  domain: 64,
  group: 64,
  role: 255,
  'application credential': 255,
}

/** Throws InvalidArgument: names are what people type. */
export function requireName(kind: NamedKind, name: string): void {
  const max = lengthMax[kind]
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  if (name.trim() === '' || name.length > max || /[\x00-\x1f\x7f]/.test(name)) {
    throw new InvalidArgument(
      `expected a name of a ${kind} of 1 to ${max} characters, not only spaces, without control characters`,
    )
  }
}

/** What is unique: a name in its domain; domains and global roles have none. */
export const nameKey = (domainId: ProjectId | null, name: string): string => `${domainId ?? ''}/${name}`

const tables = { user: 'users', project: 'projects', domain: 'projects', role: 'roles' } as const

/** Throws InvalidArgument, NameTaken. */
export async function requireFreeName(
  db: Reader,
  kind: keyof typeof tables,
  domainId: ProjectId | null,
  name: string,
): Promise<void> {
  requireName(kind, name)
  const taken = await db
    .selectFrom(tables[kind])
    .select('id')
    .where('name_key', '=', nameKey(domainId, name))
    .executeTakeFirst()
  if (taken !== undefined) throw new NameTaken(kind, name)
}

/** Throws DomainNotFound. */
export async function requireDomain(db: Reader, id: string): Promise<ProjectId> {
  const row = await db
    .selectFrom('projects')
    .select('id')
    .where('id', '=', id as ProjectId)
    .where('is_domain', '=', 1)
    .executeTakeFirst()
  if (row === undefined) throw new DomainNotFound(id)
  return row.id
}

/** Of a thing that is made from a `New`; what is undefined stays. */
export type Change<New> = { [Field in keyof New]?: New[Field] | undefined }

const extraLengthMax = 16 << 10

/** As it is stored; members that are null are removed. Throws InvalidArgument when it is too long. */
export function storedExtra(before: Extra, change: Extra | undefined): string {
  const kept = Object.entries({ ...before, ...change }).filter(([, value]) => value !== null)
  const stored = JSON.stringify(Object.fromEntries(kept))
  if (stored.length > extraLengthMax)
    throw new InvalidArgument(`expected at most ${extraLengthMax} characters of additional members`)
  return stored
}

/** The ID of the domain that is there from the first start on. */
export const defaultDomainId = 'default' as ProjectId
