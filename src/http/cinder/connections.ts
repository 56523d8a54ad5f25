/**
 * The older way of attaching, by actions on the volume: os-reserve, os-initialize_connection, os-attach, and back by
 * os-begin_detaching, os-terminate_connection, os-detach. Underneath are the same attachments: initializing makes one,
 * attaching completes it, detaching deletes it. Where Cinder does nothing in silence (a reservation that is not there,
 * a volume that is detached already), so do we.
 */

import { Type } from '@sinclair/typebox'
import type { Core } from '../../core/core.js'
import { VolumeStateConflict } from '../../core/errors.js'
import type { Attachment, ProjectCaller, VolumeStatus } from '../../core/records.js'
import { requireAdmin } from '../auth.js'
import { type Action, accepted, action, Nothing, strict } from './action.js'
import { badRequest, notFound } from './faults.js'
import { Text, Uuid } from './validation.js'
import { connectionData } from './views/attachment.js'

const Connector = Type.Record(Type.String(), Type.Unknown(), { description: 'an object' })
const AttachmentRef = Type.Object(
  {
    attachment_id: Type.Optional(Type.Union([Uuid, Type.Null()], { description: 'a UUID or null' })),
    connector: Type.Optional(Type.Union([Connector, Type.Null()], { description: 'an object or null' })),
  },
  strict,
)

const reserve = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.volumes.update(caller, volumeId, { status: { from: ['available'], to: 'attaching' } })
  return accepted
})

const unreserve = action(Nothing, async ({ core, caller, volumeId }) => {
  const { attachments } = await core.volumes.get(caller, volumeId)
  if (attachments.length === 0) await changeIf(core, caller, volumeId, { from: 'attaching', to: 'available' })
  return accepted
})

const beginDetaching = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.volumes.update(caller, volumeId, { status: { from: ['in-use'], to: 'detaching' } })
  return accepted
})

const rollDetaching = action(Nothing, async ({ core, caller, volumeId }) => {
  await changeIf(core, caller, volumeId, { from: 'detaching', to: 'in-use' })
  return accepted
})

const initializeConnection = action(Type.Object({ connector: Connector }, strict), async (call) => {
  const { core, caller, volumeId, argument } = call
  const { attachments } = await core.volumes.get(caller, volumeId)
  const known = attachments.find(
    (attachment) => attachment.connectionInfo !== null && isOf(attachment, argument.connector),
  )
  const { connectionInfo } =
    known ?? (await core.attachments.create(caller, { volumeId, connector: argument.connector, takesReserved: true }))
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
  const { attachments } = await core.volumes.get(caller, volumeId)
  const waiting = attachments.find(
    ({ status, instanceId: of }) => status === 'attaching' && (of === null || of === instanceId),
  )
  const attachment =
    waiting ??
    (await core.attachments.create(caller, {
      volumeId,
      connector: { host: hostName ?? '' },
      mode,
      takesReserved: true,
    }))
  await core.attachments.complete(caller, attachment.id, { instanceId, hostName, mountpoint, mode })
  return accepted
})

const terminateConnection = action(
  Type.Object({ connector: Type.Union([Connector, Type.Null()], { description: 'an object or null' }) }, strict),
  async ({ core, caller, volumeId, argument }) => {
    const { attachments, status } = await core.volumes.get(caller, volumeId)
    for (const attachment of attachments) {
      // What is in use stays so until somebody begins to detach it.
      const ends = attachment.status !== 'attached' || status === 'detaching'
      if (ends && isOf(attachment, argument.connector)) await core.attachments.delete(caller, attachment.id)
    }
    return accepted
  },
)

const detach = action(
  Type.Union([AttachmentRef, Type.Null()], { description: 'an object or null' }),
  async ({ core, caller, volumeId, argument }) => {
    await detachVolume(core, caller, volumeId, argument?.attachment_id ?? undefined)
    return accepted
  },
)

const forceDetach = action(AttachmentRef, async ({ core, caller, volumeId, argument, request }) => {
  requireAdmin(request)
  await detachVolume(core, caller, volumeId, argument.attachment_id ?? undefined)
  return accepted
})

async function detachVolume(
  core: Core,
  caller: ProjectCaller,
  volumeId: string,
  id: string | undefined,
): Promise<void> {
  const { attachments, status } = await core.volumes.get(caller, volumeId)
  if (attachments.length === 0) {
    if (status === 'detaching' || status === 'in-use')
      await changeIf(core, caller, volumeId, { from: status, to: 'available' })
    return
  }
  if (id === undefined && attachments.length > 1)
    throw badRequest(`The volume ${volumeId} has several attachments: say which by its attachment_id.`)
  const [attachment] = id === undefined ? attachments : attachments.filter((one) => one.id === id)
  if (attachment === undefined)
    throw notFound(`Volume attachment could not be found with filter: attachment_id = ${id}.`)
  await core.attachments.delete(caller, attachment.id)
}

/** Attachments that say nothing of a host are anybody's. */
function isOf(attachment: Attachment, connector: Record<string, unknown> | null): boolean {
  const host = connector?.['host']
  return host === undefined || attachment.hostName === null || attachment.hostName === host
}

async function changeIf(
  core: Core,
  caller: ProjectCaller,
  volumeId: string,
  change: { from: VolumeStatus; to: VolumeStatus },
): Promise<void> {
  try {
    await core.volumes.update(caller, volumeId, { status: { from: [change.from], to: change.to } })
  } catch (error) {
    if (!(error instanceof VolumeStateConflict)) throw error
  }
}

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
