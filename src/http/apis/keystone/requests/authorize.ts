/** Who calls, and whether the policy of the Identity API lets them. */

import type { FastifyRequest } from 'fastify'
import type { Caller } from '../../../../core/model/records.js'
import { type IdentityRight, requireIdentityRight, type Subject } from '../../../../core/policy/identity_policy.js'
import { requireCaller } from '../../../shared/auth.js'

/** Throws Unauthorized, NotAllowed. */
export function authorize(request: FastifyRequest, right: IdentityRight, subject?: Subject): Caller {
  const caller = requireCaller(request)
  requireIdentityRight(caller, right, subject)
  return caller
}
