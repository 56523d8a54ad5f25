/** `POST /volumes/{id}/action`: one member, whose name is the action. Each action has a schema for its argument. */

import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { type ImageVisibility, volumeStatuses } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireAdmin, requireProject } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { badRequest, CinderFault, notFound } from '../errors.js'
import { since } from '../microversion.js'
import { Flag, gibOf, isTrue, Metadata, SizeGib, validate } from '../requests/validation.js'
import { cinderTime } from '../responses/time.js'
import { volumeTypeView } from '../responses/volume_type.js'
import { refuseUnsupportedAction } from '../unsupported.js'
import { type Action, type ActionAnswer, accepted, action, done, Nothing, strict } from './action.js'
import { connectionActions } from './connections.js'

const extend = action(
  Type.Object({ new_size: SizeGib }, strict),
  async ({ core, caller, volumeId, argument, request }) => {
    await core.volumes.extend(caller, volumeId, gibOf(argument.new_size), {
      attached: request.microversion >= since.extendInUse,
    })
    return accepted
  },
)

const uploadImage = action(
  Type.Object(
    {
      image_name: Type.String({ minLength: 1, maxLength: 255, description: 'a string of 1 to 255 characters' }),
      force: Type.Optional(Type.Union([Flag, Type.Null()], { description: 'a boolean' })),
      disk_format: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
      container_format: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
      visibility: Type.Optional(
        Type.Union(
          (['community', 'public', 'private', 'shared'] as const).map((v) => Type.Literal(v)),
          { description: "one of 'community', 'public', 'private' and 'shared'" },
        ),
      ),
      protected: Type.Optional(Flag),
    },
    strict,
  ),
  async ({ core, caller, volumeId, argument, request }) => {
    const withVisibility = request.microversion >= since.uploadVisibility
    if (!withVisibility && (argument.visibility !== undefined || argument.protected !== undefined))
      throw badRequest('visibility and protected need microversion 3.1 or above.')
    const diskFormat = argument.disk_format ?? 'raw'
    // The image shares the volume's bytes as they are; another format would have to be written anew.
    if (diskFormat !== 'raw')
      throw badRequest(`disk_format ${diskFormat} is not served: an image of a volume shares its bytes, which are raw.`)
    const containerFormat = argument.container_format ?? 'bare'
    // Before the image is made: the answer must not fail when the volume is deleted right after.
    const volume = await core.volumes.get(caller, volumeId)
    const image = await core.imageSources.createFromVolume(
      caller,
      volumeId,
      {
        name: argument.image_name,
        diskFormat,
        containerFormat,
        visibility: (argument.visibility ?? 'private') as ImageVisibility,
        protected: isTrue(argument.protected),
      },
      { force: isTrue(argument.force) },
    )
    return {
      status: 202,
      body: {
        'os-volume_upload_image': {
          id: volume.id,
          updated_at: cinderTime(volume.updatedAt ?? volume.createdAt),
          status: 'uploading',
          display_description: volume.description,
          size: volume.sizeGib,
          volume_type: volumeTypeView(false),
          image_id: image.id,
          container_format: containerFormat,
          disk_format: diskFormat,
          image_name: image.name,
          ...(withVisibility ? { visibility: image.visibility, protected: image.protected } : {}),
        },
      },
    }
  },
)

const setBootable = action(Type.Object({ bootable: Flag }, strict), async ({ core, caller, volumeId, argument }) => {
  await core.volumes.update(caller, volumeId, { bootable: isTrue(argument.bootable) })
  return done
})

const setReadOnly = action(Type.Object({ readonly: Flag }, strict), async ({ core, caller, volumeId, argument }) => {
  await core.volumes.update(caller, volumeId, {
    readOnly: isTrue(argument.readonly),
    status: { from: ['available'], to: 'available' },
  })
  return accepted
})

const resetStatus = action(
  Type.Object(
    {
      status: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
      attach_status: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
      migration_status: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
    },
    strict,
  ),
  async ({ core, caller, volumeId, argument, request }) => {
    requireAdmin(request)
    if (argument.status == null && argument.attach_status == null && argument.migration_status == null)
      throw badRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    const status = volumeStatuses.find((known) => known === argument.status?.toLowerCase())
    if (argument.status != null && status === undefined)
      throw badRequest(`Must specify a valid status: one of ${volumeStatuses.join(', ')}; not ${argument.status}.`)
    // Nothing is migrated here, so that clients can only be told that there is nothing to reset.
    if (argument.migration_status != null && argument.migration_status !== 'none')
      throw badRequest(`Must specify a valid migration_status: none; not ${argument.migration_status}.`)
    await core.volumes.update(caller, volumeId, {
      attached: attachedOf(argument.attach_status),
      status: status && { to: status },
    })
    return accepted
  },
)

function attachedOf(attachStatus: string | null | undefined): boolean | undefined {
  if (attachStatus == null) return undefined
  if (attachStatus === 'attached' || attachStatus === 'detached') return attachStatus === 'attached'
  throw badRequest(`Must specify a valid attach_status: attached or detached; not ${attachStatus}.`)
}

const forceDelete = action(Nothing, async ({ core, caller, volumeId }) => {
  await core.volumes.delete(caller, volumeId, { force: true })
  return accepted
})

const showImageMetadata = action(Nothing, async ({ core, caller, volumeId }) => {
  const { imageMetadata } = await core.volumes.get(caller, volumeId)
  return { status: 200, body: { metadata: imageMetadata } }
})

const imageMetadataMax = 128

const setImageMetadata = action(
  Type.Object({ metadata: Metadata }, strict),
  async ({ core, caller, volumeId, argument }) => {
    const metadata = await core.volumes.editImageMetadata(caller, volumeId, (before) => {
      const after = { ...before, ...argument.metadata }
      const [had, has] = [Object.keys(before).length, Object.keys(after).length]
      // What an image brought along may be more.
      if (has > imageMetadataMax && has > had)
        throw new CinderFault(413, `There may be at most ${imageMetadataMax} metadata items.`)
      return after
    })
    return { status: 200, body: { metadata } }
  },
)

const unsetImageMetadata = action(
  Type.Object({ key: Type.String({ minLength: 1, maxLength: 255 }) }, strict),
  async ({ core, caller, volumeId, argument }) => {
    await core.volumes.editImageMetadata(caller, volumeId, (before) => {
      if (!Object.hasOwn(before, argument.key)) throw notFound('Metadata item was not found.')
      return Object.fromEntries(Object.entries(before).filter(([name]) => name !== argument.key))
    })
    return done
  },
)

const actions: Record<string, Action> = {
  'os-extend': extend,
  'os-volume_upload_image': uploadImage,
  'os-set_bootable': setBootable,
  'os-update_readonly_flag': setReadOnly,
  'os-reset_status': resetStatus,
  'os-force_delete': forceDelete,
  'os-show_image_metadata': showImageMetadata,
  'os-set_image_metadata': setImageMetadata,
  'os-unset_image_metadata': unsetImageMetadata,
  ...connectionActions,
}

export function volumeActionRoutes(app: FastifyInstance, options: ApiOptions): void {
  app.post<{ Params: { volumeId: string } }>('/volumes/:volumeId/action', async (request, reply) => {
    const caller = requireProject(request)
    const body = await readJsonObject(request)
    const [name, ...more] = Object.keys(body)
    if (name === undefined || more.length > 0)
      throw badRequest('Malformed request body: it has one member, the action.')
    refuseUnsupportedAction('volume', name)
    const known = Object.hasOwn(actions, name) ? actions[name] : undefined
    if (known === undefined) throw badRequest(`There is no such action: ${name}`)
    const argument = validate(known.schema, body[name])
    const { volumeId } = request.params
    return sendAnswer(reply, await known.run({ ...options, caller, volumeId, argument, request }))
  })
}

function sendAnswer(reply: FastifyReply, { status, body }: ActionAnswer): FastifyReply {
  return reply.code(status).send(body)
}
