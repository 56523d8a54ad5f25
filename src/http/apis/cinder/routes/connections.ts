/**
 * The older way of attaching, by actions on the volume: os-reserve, os-initialize_connection, os-attach, and back by
 * os-begin_detaching, os-terminate_connection, os-detach (core/volumes/connections.ts).
 */

import { Type } from '@sinclair/typebox'
import { requireAdmin } from '../../../shared/auth.js'
import { badRequest } from '../errors.js'
import { Text, Uuid } from '../requests/validation.js'
import { connectionData } from '../responses/attachment.js'
import { type Action, accepted, action, Nothing, strict } from './action.js'

const Connector = Type.Record(Type.String(), Type.Unknown(), { description: 'an object' })
const AttachmentRef = Type.Object(
  {
    attachment_id: Type.Optional(Type.Union([Uuid, Type.Null()], { description: 'a UUID or null' })),
    connector: Type.Optional(Type.Union([Connector, Type.Null()], { description: 'an object or null' })),
  },
  strict,
)

const reserve = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.connections.reserve(caller, volumeId)
  return accepted
})

const unreserve = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.connections.unreserve(caller, volumeId)
  return accepted
})

const beginDetaching = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.connections.beginDetaching(caller, volumeId)
  return accepted
})

const rollDetaching = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.connections.rollDetaching(caller, volumeId)
  return accepted
})

const initializeConnection = action(Type.Object({ connector: Connector }, strict), async (call) => {
  const { core, caller, volumeId, argument } = call
  const { connectionInfo } = await core.connections.initialize(caller, volumeId, argument.connector)
  if (connectionInfo === null) throw badRequest(`The volume ${volumeId} has no connection.`)
  return {
    status: 200,
    body: {
      connection_info: {
        driver_volume_type: connectionInfo.driver_volume_type,
        data: connectionData(connectionInfo),
      },
    },
  }
})

const attachSchema = Type.Object(
  {
    instance_uuid: Type.Optional(Uuid),
    host_name: Type.Optional(Text),
    mountpoint: Type.String({ minLength: 1, maxLength: 255, description: 'a string of 1 to 255 characters' }),
    mode: Type.Optional(Type.Union([Type.Literal('rw'), Type.Literal('ro')], { description: "'rw' or 'ro'" })),
  },
  strict,
)

const attach = action(attachSchema, async ({ core, caller, volumeId, argument }) => {
  const { instance_uuid: instanceId, host_name: hostName, mountpoint, mode } = argument
  if ((instanceId === undefined) === (hostName === undefined))
    throw badRequest('A volume is attached to an instance_uuid or to a host_name: one of the two.')
  await core.connections.attach(caller, volumeId, { instanceId, hostName, mountpoint, mode })
  return accepted
})

const terminateConnection = action(
  Type.Object({ connector: Type.Union([Connector, Type.Null()], { description: 'an object or null' }) }, strict),
  async ({ core, caller, volumeId, argument }) => {
    await core.connections.terminate(caller, volumeId, argument.connector)
    return accepted
  },
)

const detach = action(
  Type.Union([AttachmentRef, Type.Null()], { description: 'an object or null' }),
  async ({ core, caller, volumeId, argument }) => {
    await core.connections.detach(caller, volumeId, argument?.attachment_id ?? undefined)
    return accepted
  },
)

const forceDetach = action(AttachmentRef, async ({ core, caller, volumeId, argument, request }) => {
  requireAdmin(request)
  await core.connections.detach(caller, volumeId, argument.attachment_id ?? undefined)
  return accepted
})

export const connectionActions: Record<string, Action> = {
  'os-reserve': reserve,
  'os-unreserve': unreserve,
  'os-begin_detaching': beginDetaching,
  'os-roll_detaching': rollDetaching,
  'os-initialize_connection': initializeConnection,
  'os-terminate_connection': terminateConnection,
  'os-attach': attach,
  'os-detach': detach,
  'os-force_detach': forceDetach,
}
