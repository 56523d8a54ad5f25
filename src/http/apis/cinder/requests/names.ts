/** The names and descriptions of volumes and snapshots, each of which has two spellings. */

import { Type } from '@sinclair/typebox'
import { NullableText } from './validation.js'

export const names = {
  name: Type.Optional(NullableText),
  display_name: Type.Optional(NullableText),
  description: Type.Optional(NullableText),
  display_description: Type.Optional(NullableText),
}

export interface Names {
  name?: string | null
  description?: string | null
}

/** The values of either spelling; a member is absent if the body has neither. */
export function namesOf(body: {
  name?: string | null | undefined
  display_name?: string | null | undefined
  description?: string | null | undefined
  display_description?: string | null | undefined
}): Names {
  const name = body.name !== undefined ? body.name : body.display_name
  const description = body.description !== undefined ? body.description : body.display_description
  return {
    ...(name === undefined ? {} : { name: name?.trim() ?? null }),
    ...(description === undefined ? {} : { description: description?.trim() ?? null }),
  }
}
