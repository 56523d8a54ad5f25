/** With whose rights a request reads what its object refers to: segments and the targets of links, in containers of their own. */

import type { FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { ProjectCaller } from '../../../../core/model/records.js'
import type { Place } from '../../../../core/objects/access.js'
import type { CallerOf } from '../../../../core/objects/contents.js'
import { accountPrefix, callerAt, type ObjectTarget } from './target.js'
import { isSigned } from './temp_url.js'

/** Throws 401 or 403 for a place that the caller may not read. Access lists are asked once for each container. */
export function callersOf(core: Core, request: FastifyRequest, target: ObjectTarget): CallerOf {
  const known = new Map<string, Promise<ProjectCaller>>()
  return ({ projectId, container }: Place, need) => {
    // What is signed is one path. Its caller may read as far as the key that signed it reaches, which is checked at each read.
    if (isSigned(request)) return Promise.resolve(target.caller)
    const key = `${need} ${projectId} ${container ?? ''}`
    const found =
      known.get(key) ?? callerAt(core, request, { account: `${accountPrefix}${projectId}`, container }, need)
    known.set(key, found)
    return found
  }
}
