/**
 * Who may do what, as far as all services agree: `admin` everything everywhere, `member` everything in its project,
 * `reader` looks at its project. What belongs to another project does not exist.
 */

import type { ProjectId } from '../lib/ids.js'
import { NotAllowed } from './errors.js'
import type { ProjectCaller } from './records.js'

/** May the caller see what belongs to this project? */
export function sees(caller: ProjectCaller, owner: ProjectId | string): boolean {
  return caller.isAdmin || caller.project.id === owner
}

/** Throws NotAllowed for a reader. */
export function mayWrite(caller: ProjectCaller): void {
  if (!caller.canWrite) throw new NotAllowed('member')
}
