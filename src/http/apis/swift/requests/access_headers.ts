/**
 * Headers that say who may use an account or a container. Only the owner of the account sets and sees them; from others they
 * are ignored, as Swift does.
 */

import type { FastifyRequest } from 'fastify'
import { AtollError } from '../../../../lib/errors.js'
import type { KeptHeaders, Metadata } from '../../../../core/model/records.js'
import type { MetadataChange } from '../../../../core/objects/accounts.js'
import { secretNames } from '../../../../core/objects/access.js'
import { cleanAccountAcl } from '../../../../core/policy/account_acl.js'
import { cleanContainerAcl } from '../../../../core/policy/container_acl.js'
import { SwiftError } from '../errors.js'
import { headerText } from '../header_text.js'

export const containerLists = {
  'x-container-read': 'X-Container-Read',
  'x-container-write': 'X-Container-Write',
} as const

/** Adds the container's access lists to a change. Throws 400 for lists that are malformed. */
export function withContainerAccess(change: MetadataChange, request: FastifyRequest, isOwner: boolean): MetadataChange {
  if (!isOwner) return withoutSecrets(change)
  const set: KeptHeaders = {}
  const remove: string[] = []
  for (const [name, header] of Object.entries(containerLists)) {
    if (isGiven(request.headers[name.replace('x-', 'x-remove-')])) remove.push(name)
    const value = request.headers[name]
    if (value === undefined) continue
    const list = refused(() => cleanContainerAcl(header, headerText(String(value))))
    if (list === '') remove.push(name)
    else set[name] = list
  }
  return withHeaders(change, set, remove)
}

/** Adds the account's access list to a change. Throws 400 for a list that is malformed. */
export function withAccountAccess(change: MetadataChange, request: FastifyRequest, isOwner: boolean): MetadataChange {
  const name = 'x-account-access-control'
  const value = request.headers[name]
  const list = value === undefined ? undefined : refused(() => cleanAccountAcl(headerText(String(value))))
  if (!isOwner) return withoutSecrets(change)
  if (isGiven(request.headers['x-remove-account-access-control']) || list === '') return withHeaders(change, {}, [name])
  return list === undefined ? change : withHeaders(change, { [name]: list }, [])
}

/** What of a metadata set a caller may see. */
export function visibleMetadata(metadata: Metadata, isOwner: boolean): Metadata {
  if (isOwner) return metadata
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !isSecret(name)))
}

const isSecret = (name: string): boolean => (secretNames as readonly string[]).includes(name)

function withHeaders(change: MetadataChange, set: KeptHeaders, remove: string[]): MetadataChange {
  return {
    ...change,
    setHeaders: { ...change.setHeaders, ...set },
    removeHeaders: [...(change.removeHeaders ?? []), ...remove.filter((name) => set[name] === undefined)],
  }
}

function withoutSecrets(change: MetadataChange): MetadataChange {
  return {
    ...change,
    setMetadata: change.setMetadata && visibleMetadata(change.setMetadata, false),
    removeMetadata: change.removeMetadata?.filter((name) => !isSecret(name)),
  }
}

const isGiven = (value: string | string[] | undefined): boolean => value !== undefined && value !== ''

/** The core's refusal, word for word. */
function refused<T>(clean: () => T): T {
  try {
    return clean()
  } catch (error) {
    throw error instanceof AtollError && error.status === 400 ? new SwiftError(400, error.message) : error
  }
}
