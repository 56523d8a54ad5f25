/**
 * Which volume, snapshot or image an operator means: by its ID, or by a name that no other one has, in any project.
 *
 * Names are chosen by tenants, and may be changed or taken again. So text that has the form of an ID is never looked up as a name:
 * otherwise a tenant could take the place of something that was deleted by using its ID as a name. (The ID of an image can be
 * chosen by its owner, among those that are not in use.)
 */

import type { Reader } from '../../catalog/types.js'
import { isUuid, type ProjectId, type ResourceId } from '../../lib/ids.js'
import { NameNotUnique, NothingNamed } from '../model/errors.js'
import { type ExportKind, exportedOwners } from '../tree/owners.js'

export interface NamedExport {
  kind: ExportKind
  id: string
  name: string | null
  projectId: ProjectId
  resourceId: ResourceId
}

const allKinds = exportedOwners.map(({ kind }) => kind)

/** Maximum number of candidates that an error lists. */
const candidatesMax = 5
/** Characters of a name that an error repeats. */
const repeatedMax = 80

/** Throws NothingNamed, NameNotUnique (which lists the candidates). Images without data are not exports. */
export async function findNamed(
  db: Reader,
  idOrName: string,
  kinds: readonly ExportKind[] = allKinds,
): Promise<NamedExport> {
  const column = isUuid(idOrName.toLowerCase()) ? 'id' : 'name'
  const found: NamedExport[] = []
  for (const kind of idOrName === '' ? [] : kinds) {
    for (const one of await lookUp(db, kind, column, idOrName)) {
      // A snapshot and its image are one thing.
      if (!found.some(({ id }) => id === one.id)) found.push(one)
    }
    if (column === 'id' && found.length > 0) break
  }
  const [first, second] = found
  if (first === undefined) throw new NothingNamed(listed(kinds), shortened(idOrName))
  if (second !== undefined) throw new NameNotUnique(shortened(idOrName), inWords(found))
  return first
}

async function lookUp(db: Reader, kind: ExportKind, column: 'id' | 'name', value: string): Promise<NamedExport[]> {
  const limit = candidatesMax + 1
  const rows =
    kind === 'image'
      ? await db
          .selectFrom('images')
          .select(['id', 'name', 'owner as project_id', 'resource_id'])
          .where(column, '=', value as never)
          .where('resource_id', 'is not', null)
          .limit(limit)
          .execute()
      : await db
          .selectFrom(kind === 'volume' ? 'volumes' : 'snapshots')
          .select(['id', 'name', 'project_id', 'resource_id'])
          .where(column, '=', value as never)
          .limit(limit)
          .execute()
  return rows.map(({ id, name, project_id: projectId, resource_id: resource }) => {
    return { kind, id, name, projectId, resourceId: resource as ResourceId }
  })
}

function inWords(found: readonly NamedExport[]): string {
  const candidates = found.slice(0, candidatesMax)
  const words = candidates.map(({ kind, id, projectId }) => `${kind} ${id} (project ${projectId})`)
  return `${words.join(', ')}${found.length > candidatesMax ? ' and more' : ''}`
}

/** "volume, snapshot or image". */
function listed(kinds: readonly ExportKind[]): string {
  return kinds.join(', ').replace(/, (?=[^,]*$)/, ' or ')
}

function shortened(text: string): string {
  const characters = [...text]
  return characters.length <= repeatedMax ? text : `${characters.slice(0, repeatedMax).join('')}…`
}
