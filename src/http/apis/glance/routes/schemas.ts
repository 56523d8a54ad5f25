/** The schema documents. The stock glance client builds its command line from the one of images. */

import type { FastifyInstance } from 'fastify'
import { imageProperties } from '../requests/image_fields.js'

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

export function schemaRoutes(app: FastifyInstance): void {
  const documents: Record<string, Record<string, unknown>> = {
    image: imageSchema(),
    images: collectionSchema('images', imageSchema()),
    member: memberSchema(),
    members: collectionSchema('members', memberSchema()),
  }
  for (const [name, document] of Object.entries(documents)) {
    app.get(`/schemas/${name}`, async () => document)
  }
}
