/**
 * The members of an image, once: the schema documents that clients read (`/v2/schemas/image`) and the judgement of what
 * they send are both made from this table.
 */

import { type TSchema, Type } from '@sinclair/typebox'

interface Field {
  type: 'string' | 'integer' | 'boolean'
  nullable?: true
  description: string
  readOnly?: true
  maxLength?: number
  minimum?: number
  maximum?: number
  pattern?: string
  enum?: readonly string[]
  /** False for properties that are only well-known names, not columns of an image. */
  base?: false
}

const uuidPattern = '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$'
const int32Max = 2 ** 31 - 1

const containerFormats = ['ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed'] as const
const diskFormats = ['ami', 'ari', 'aki', 'vhd', 'vhdx', 'vmdk', 'raw', 'qcow2', 'vdi', 'iso', 'ploop'] as const
export const visibilities = ['community', 'public', 'private', 'shared'] as const

/** Characters a custom property's name may have at most. */
export const propertyNameMax = 255

const fields: Record<string, Field> = {
  id: { type: 'string', description: 'An identifier for the image', pattern: uuidPattern },
  name: { type: 'string', nullable: true, description: 'Descriptive name for the image', maxLength: 255 },
  status: {
    type: 'string',
    readOnly: true,
    description: 'Status of the image',
    enum: [
      'queued',
      'saving',
      'active',
      'killed',
      'deleted',
      'uploading',
      'importing',
      'pending_delete',
      'deactivated',
    ],
  },
  visibility: { type: 'string', description: 'Who may see the image', enum: visibilities },
  protected: { type: 'boolean', description: 'If true, image will not be deletable.' },
  os_hidden: { type: 'boolean', description: 'If true, image will not appear in default image list response.' },
  checksum: { type: 'string', nullable: true, readOnly: true, description: 'MD5 of the image data', maxLength: 32 },
  os_hash_algo: {
    type: 'string',
    nullable: true,
    readOnly: true,
    description: 'Algorithm of os_hash_value',
    maxLength: 64,
  },
  os_hash_value: {
    type: 'string',
    nullable: true,
    readOnly: true,
    description: 'Digest of the image data, in hexadecimal digits',
    maxLength: 128,
  },
  owner: { type: 'string', nullable: true, description: 'Project that owns the image', maxLength: 255 },
  size: { type: 'integer', nullable: true, readOnly: true, description: 'Size of the image data in bytes' },
  virtual_size: {
    type: 'integer',
    nullable: true,
    readOnly: true,
    description: 'Size in bytes of the disk that the image describes',
  },
  container_format: {
    type: 'string',
    nullable: true,
    description: 'Format of the container',
    enum: containerFormats,
  },
  disk_format: { type: 'string', nullable: true, description: 'Format of the disk', enum: diskFormats },
  created_at: { type: 'string', readOnly: true, description: 'When the image was registered' },
  updated_at: { type: 'string', readOnly: true, description: 'When the image was last changed' },
  direct_url: { type: 'string', readOnly: true, description: 'Where the image data lies' },
  min_ram: {
    type: 'integer',
    description: 'Memory in MB that is needed to boot the image',
    minimum: 0,
    maximum: int32Max,
  },
  min_disk: {
    type: 'integer',
    description: 'Disk space in GB that is needed to boot the image',
    minimum: 0,
    maximum: int32Max,
  },
  self: { type: 'string', readOnly: true, description: 'Path of the image' },
  file: { type: 'string', readOnly: true, description: 'Path of the image data' },
  schema: { type: 'string', readOnly: true, description: 'Path of the schema of images' },
  stores: { type: 'string', readOnly: true, description: 'Stores in which the image data lies' },
  kernel_id: {
    type: 'string',
    nullable: true,
    base: false,
    description: 'Image that is the kernel of an AMI-style image',
    pattern: uuidPattern,
  },
  ramdisk_id: {
    type: 'string',
    nullable: true,
    base: false,
    description: 'Image that is the initial ramdisk of an AMI-style image',
    pattern: uuidPattern,
  },
  instance_uuid: { type: 'string', base: false, description: 'Server that the image was made of' },
  architecture: { type: 'string', base: false, description: 'Processor architecture of the operating system' },
  os_distro: { type: 'string', base: false, description: 'Name of the operating system distribution' },
  os_version: { type: 'string', base: false, description: 'Version of the operating system' },
}

/** Members that only the server sets: naming one in a request is refused with 403. */
export const readOnlyFields: ReadonlySet<string> = new Set(
  Object.entries(fields).flatMap(([name, field]) => (field.readOnly ? [name] : [])),
)

/** Members that PATCH may replace and never remove; everything else is a custom property. */
export const baseFields: ReadonlySet<string> = new Set([
  ...Object.entries(fields).flatMap(([name, field]) => (field.base === false ? [] : [name])),
  'tags',
  'locations',
])

const locationDocument = {
  type: 'object',
  properties: {
    url: { type: 'string', maxLength: 4096 },
    metadata: { type: 'object' },
    validation_data: {
      description: 'What the data behind the URL must be; a mismatch is refused.',
      type: 'object',
      writeOnly: true,
      additionalProperties: false,
      properties: {
        checksum: { type: 'string', minLength: 32, maxLength: 32 },
        os_hash_algo: { type: 'string', maxLength: 64 },
        os_hash_value: { type: 'string', maxLength: 128 },
        size: { type: 'integer', minimum: 0 },
      },
    },
  },
  required: ['url', 'metadata'],
}

/** `properties` of the served JSON schema of an image. */
export function imageProperties(): Record<string, unknown> {
  const properties: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    const { nullable, base, ...rest } = field
    properties[name] = {
      ...rest,
      type: nullable ? ['null', field.type] : field.type,
      ...(field.enum ? { enum: nullable ? [null, ...field.enum] : field.enum } : {}),
      ...(base === false ? { is_base: false } : {}),
    }
  }
  properties['tags'] = {
    type: 'array',
    description: 'List of strings related to the image',
    items: { type: 'string', maxLength: 255 },
  }
  properties['locations'] = {
    type: 'array',
    description: 'Where the image data lies: one entry at most',
    items: locationDocument,
  }
  return properties
}

export const LocationBody = Type.Object(
  {
    url: Type.String({ maxLength: 4096 }),
    metadata: Type.Record(Type.String(), Type.Unknown()),
    validation_data: Type.Optional(
      Type.Object(
        {
          checksum: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{32}$' })),
          os_hash_algo: Type.Optional(Type.String({ maxLength: 64 })),
          os_hash_value: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{1,128}$' })),
          size: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: true },
)

const special: Record<string, TSchema> = {
  // How many there may be is core's to say (413).
  tags: Type.Array(Type.String({ maxLength: 255 })),
  locations: Type.Array(LocationBody, { maxItems: 1 }),
}

const customProperty = Type.String({ maxLength: 65_535 })

/** What a member's value must be: a base field's own schema, a string for a custom property. */
export function schemaOf(name: string): TSchema {
  const known = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (known) return typeOf(known)
  return Object.hasOwn(special, name) ? (special[name] as TSchema) : customProperty
}

function typeOf(field: Field): TSchema {
  const inner = innerTypeOf(field)
  return field.nullable ? Type.Union([Type.Null(), inner], { description: describe(field) }) : inner
}

function innerTypeOf(field: Field): TSchema {
  const description = describe(field)
  if (field.type === 'boolean') return Type.Boolean({ description })
  if (field.type === 'integer')
    return Type.Integer({
      description,
      ...(field.minimum === undefined ? {} : { minimum: field.minimum }),
      ...(field.maximum === undefined ? {} : { maximum: field.maximum }),
    })
  if (field.enum)
    return Type.Union(
      field.enum.map((value) => Type.Literal(value)),
      { description },
    )
  return Type.String({
    description,
    ...(field.maxLength === undefined ? {} : { maxLength: field.maxLength }),
    ...(field.pattern === undefined ? {} : { pattern: field.pattern }),
  })
}

/** For error messages: "one of 'raw', 'qcow2' or null". */
function describe(field: Field): string {
  const range =
    field.minimum === undefined ? `an ${field.type}` : `an integer from ${field.minimum} to ${field.maximum}`
  const base = field.enum
    ? `one of '${field.enum.join("', '")}'`
    : field.pattern
      ? 'a UUID'
      : field.type === 'string'
        ? `a string${field.maxLength ? ` of at most ${field.maxLength} characters` : ''}`
        : field.type === 'boolean'
          ? 'a boolean'
          : range
  return field.nullable ? `${base} or null` : base
}
