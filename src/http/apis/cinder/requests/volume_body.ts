/** The bodies of POST and PUT of volumes, by microversion: before 3.53, unknown members are ignored. */

import { type Static, Type } from '@sinclair/typebox'
import { badRequest } from '../errors.js'
import { since } from '../microversion.js'
import { names } from './names.js'
import { Flag, NullableMetadata, NullableSizeGib, NullableText, NullableUuid, validate } from './validation.js'

const volume = {
  ...names,
  size: Type.Optional(NullableSizeGib),
  volume_type: Type.Optional(NullableText),
  metadata: Type.Optional(NullableMetadata),
  snapshot_id: Type.Optional(NullableUuid),
  source_volid: Type.Optional(NullableUuid),
  consistencygroup_id: Type.Optional(NullableText),
  group_id: Type.Optional(NullableText),
  backup_id: Type.Optional(NullableText),
  availability_zone: Type.Optional(NullableText),
  multiattach: Type.Optional(Type.Union([Flag, Type.Null()], { description: 'a boolean or null' })),
  image_id: Type.Optional(NullableText),
  imageRef: Type.Optional(NullableText),
}

const envelope = <T extends Parameters<typeof Type.Object>[0]>(members: T, strict: boolean) =>
  Type.Object(
    {
      volume: Type.Object(members, { additionalProperties: !strict, description: 'an object' }),
      'OS-SCH-HNT:scheduler_hints': Type.Optional(
        Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()]),
      ),
    },
    { additionalProperties: false },
  )

const createBody = envelope(volume, false)
const createBodyStrict = envelope(volume, true)
export type VolumeBody = Static<typeof createBody>['volume']

export function parseCreateBody(body: unknown, microversion: number): VolumeBody {
  if (microversion >= since.strictBodies) return validate(createBodyStrict, body).volume
  return validate(createBody, body).volume
}

const updateBody = Type.Object(
  {
    volume: Type.Object(
      { ...names, metadata: Type.Optional(NullableMetadata) },
      { additionalProperties: false, description: 'an object' },
    ),
  },
  { additionalProperties: false },
)

export type UpdateBody = Static<typeof updateBody>['volume']

export function parseUpdateBody(body: unknown, microversion: number): UpdateBody {
  const { volume: change } = validate(updateBody, body)
  if (microversion >= since.strictBodies && Object.keys(change).length === 0)
    throw badRequest('At least one of name, description, display_name, display_description and metadata is required.')
  return change
}
