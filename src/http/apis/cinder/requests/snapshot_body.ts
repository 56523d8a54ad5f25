/** The bodies of POST and PUT of snapshots. */

import { type Static, Type } from '@sinclair/typebox'
import { badRequest } from '../errors.js'
import { since } from '../microversion.js'
import { type Names, names, namesOf } from './names.js'
import { Flag, isTrue, NullableMetadata, Uuid, validate } from './validation.js'

const createBody = Type.Object({
  snapshot: Type.Object(
    {
      ...names,
      volume_id: Uuid,
      force: Type.Optional(Type.Union([Flag, Type.Null()], { description: 'a boolean' })),
      metadata: Type.Optional(NullableMetadata),
    },
    { additionalProperties: false, description: 'an object' },
  ),
})
const updateBody = Type.Object({
  snapshot: Type.Object(names, { additionalProperties: false, description: 'an object' }),
})

export interface NewSnapshot extends Names {
  volumeId: string
  metadata: Record<string, string>
  force: boolean
}

/** Throws 400. */
export function parseNewSnapshot(body: unknown, microversion: number): NewSnapshot {
  const { snapshot } = validate(createBody, body)
  return {
    ...namesOf(snapshot),
    volumeId: snapshot.volume_id,
    metadata: snapshot.metadata ?? {},
    force: isForced(snapshot.force, microversion),
  }
}

/** Throws 400. */
export function parseSnapshotChange(body: unknown): Names {
  const { snapshot: change } = validate(updateBody, body)
  if (Object.keys(change).length === 0)
    throw badRequest('At least one of name, description, display_name and display_description is required.')
  return namesOf(change)
}

/** From 3.66 on, a volume in use can be snapshotted without `force`, and `force: false` is an error. */
function isForced(force: Static<typeof Flag> | null | undefined, microversion: number): boolean {
  if (microversion < since.snapshotWithoutForce) return isTrue(force)
  if (force !== undefined && !isTrue(force))
    throw badRequest(
      "Since microversion 3.66 the 'force' flag is invalid; its only accepted value is true, which is ignored.",
    )
  return true
}
