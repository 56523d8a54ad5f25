/** The schema documents. The stock glance client builds its command line from that of images. */

import { imageProperties } from '../image_fields.js'

const imageLinks = [
  { rel: 'self', href: '{self}' },
  { rel: 'enclosure', href: '{file}' },
  { rel: 'describedby', href: '{schema}' },
]

/** Members beyond those named are custom properties: strings. */
export function imageSchema(): Record<string, unknown> {
  return {
    name: 'image',
    properties: imageProperties(),
    additionalProperties: { type: 'string' },
    links: imageLinks,
  }
}

function memberSchema(): Record<string, unknown> {
  return {
    name: 'member',
    properties: {
      created_at: { type: 'string', description: 'When the member was added' },
      image_id: { type: 'string', description: 'The shared image' },
      member_id: { type: 'string', description: 'The project it is shared with' },
      status: {
        type: 'string',
        description: 'What the member makes of it',
        enum: ['pending', 'accepted', 'rejected'],
      },
      updated_at: { type: 'string', description: 'When the member was last changed' },
      schema: { type: 'string' },
    },
  }
}

function collectionSchema(name: string, item: Record<string, unknown>): Record<string, unknown> {
  return {
    name,
    properties: {
      [name]: { type: 'array', items: item },
      first: { type: 'string' },
      next: { type: 'string' },
      schema: { type: 'string' },
    },
    links: [
      { rel: 'first', href: '{first}' },
      { rel: 'next', href: '{next}' },
      { rel: 'describedby', href: '{schema}' },
    ],
  }
}

export const schemaDocuments: Readonly<Record<string, Record<string, unknown>>> = {
  image: imageSchema(),
  images: collectionSchema('images', imageSchema()),
  member: memberSchema(),
  members: collectionSchema('members', memberSchema()),
}
