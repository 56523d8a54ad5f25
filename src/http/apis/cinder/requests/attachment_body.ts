/** The bodies of POST and PUT of attachments, and of their actions. */

import { type Static, Type } from '@sinclair/typebox'
import { badRequest } from '../errors.js'
import { since } from '../microversion.js'
import { Uuid, validate } from './validation.js'

const Connector = Type.Record(Type.String(), Type.Unknown(), {
  minProperties: 1,
  description: 'an object with members',
})
const Mode = Type.Union([Type.Literal('rw'), Type.Literal('ro')], { description: "'rw' or 'ro'" })
const attachment = {
  volume_uuid: Uuid,
  instance_uuid: Type.Optional(Type.Union([Uuid, Type.Null()], { description: 'a UUID or null' })),
  connector: Type.Optional(
    Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()], { description: 'an object or null' }),
  ),
}
const envelope = <T extends Parameters<typeof Type.Object>[0]>(members: T) =>
  Type.Object({ attachment: Type.Object(members, { additionalProperties: false, description: 'an object' }) })
const createBody = envelope(attachment)
const createBodyWithMode = envelope({ ...attachment, mode: Type.Optional(Mode) })
const updateBody = envelope({ connector: Connector })
const completeBody = Type.Object({ 'os-complete': Type.Unknown() }, { additionalProperties: false })

type Connector = Record<string, unknown>

interface ConnectorFields {
  mode?: 'rw' | 'ro'
  mountpoint?: string
}

export interface NewAttachment extends ConnectorFields {
  volumeId: string
  instanceId: string | null
  connector?: Connector
}

/** Throws 400. */
export function parseNewAttachment(body: unknown, microversion: number): NewAttachment {
  const { connector, instance_uuid: instanceId, mode, volume_uuid: volumeId } = newAttachment(body, microversion)
  return {
    volumeId,
    instanceId: instanceId ?? null,
    ...(connector && Object.keys(connector).length > 0 ? { connector } : {}),
    ...(mode === undefined ? modeOf(connector) : { mode }),
    ...mountpointOf(connector),
  }
}

/** Throws 400. */
export function parseAttachmentChange(body: unknown): ConnectorFields & { connector: Connector } {
  const { connector } = validate(updateBody, body).attachment
  return { connector, ...modeOf(connector), ...mountpointOf(connector) }
}

/** Throws 400 unless the action is os-complete. */
export function requireComplete(body: unknown): void {
  validate(completeBody, body)
}

function newAttachment(body: unknown, microversion: number): Static<typeof createBodyWithMode>['attachment'] {
  if (microversion >= since.attachmentMode) return validate(createBodyWithMode, body).attachment
  return validate(createBody, body).attachment
}

function modeOf(connector: Connector | null | undefined): { mode?: 'rw' | 'ro' } {
  const mode = connector?.['mode']
  if (mode === undefined || mode === null) return {}
  if (mode === 'rw' || mode === 'ro') return { mode }
  throw badRequest("Invalid input for field/attribute mode. It must be 'rw' or 'ro'.")
}

function mountpointOf(connector: Connector | null | undefined): { mountpoint?: string } {
  const mountpoint = connector?.['mountpoint']
  return typeof mountpoint === 'string' ? { mountpoint: mountpoint.slice(0, 255) } : {}
}
