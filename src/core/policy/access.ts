/**
 * Who may do what, as far as all services agree. This is the only place that says what a role grants:
 *
 *   admin    everything, in every project
 *   member   everything in its project
 *   reader   looks at its project
 *
 * Any other role grants nothing. What belongs to another project does not exist.
 */

import type { ProjectId } from '../../lib/ids.js'
import { NotAllowed, RestrictedCredential } from '../model/errors.js'
import type { Caller, ProjectCaller } from '../model/records.js'

export type Rights = Pick<Caller, 'isAdmin' | 'canWrite' | 'canRead'>

/** What the roles in a project grant together. */
export function rightsOf(roles: readonly string[]): Rights {
  const isAdmin = roles.includes('admin')
  const canWrite = isAdmin || roles.includes('member')
  return { isAdmin, canWrite, canRead: canWrite || roles.includes('reader') }
}

/** May the caller see what belongs to this project? */
export function sees(caller: ProjectCaller, owner: ProjectId | string): boolean {
  return caller.isAdmin || caller.project.id === owner
}

/** Throws NotAllowed unless the caller may look at the project. */
export function mayRead(caller: Caller): void {
  if (!caller.canRead) throw new NotAllowed('reader')
}

/** Throws NotAllowed for a reader. */
export function mayWrite(caller: Caller): void {
  if (!caller.canWrite) throw new NotAllowed('member')
}

/** Throws NotAllowed if a right that the caller had is missing now. */
export function mustKeep(before: Rights, now: Rights): void {
  if (before.isAdmin && !now.isAdmin) throw new NotAllowed('admin')
  if (before.canWrite && !now.canWrite) throw new NotAllowed('member')
  if (before.canRead && !now.canRead) throw new NotAllowed('reader')
}

/** Throws RestrictedCredential for a token of an application credential that may not make or delete credentials. */
export function mayManageCredentials(caller: Caller): void {
  if (caller.isRestricted) throw new RestrictedCredential()
}
