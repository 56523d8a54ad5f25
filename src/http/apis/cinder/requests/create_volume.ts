/** From the body of POST to what core is asked for. Clients send every member, most of them null. */

import type { Core } from '../../../../core/core.js'
import type { ProjectCaller, Volume } from '../../../../core/model/records.js'
import type { VolumeSource } from '../../../../core/conversions/volume_sources.js'
import { availabilityZone } from '../responses/backend.js'
import { isVolumeType, volumeTypeName } from '../routes/types.js'
import { badRequest, notFound } from '../errors.js'
import { resolveImage } from './image_ref.js'
import { gibOf, isTrue } from './validation.js'
import { namesOf, type VolumeBody } from './volume_body.js'

export async function createVolume(core: Core, caller: ProjectCaller, body: VolumeBody): Promise<Volume> {
  requireServed(body)
  const source = await sourceOf(core, caller, body)
  if (source.kind === 'blank' && body.size == null)
    throw badRequest(
      'Invalid volume size provided for create request: None (size argument must be an integer (or string representation of an integer) and greater than zero).',
    )
  return core.volumeSources.create(caller, {
    ...namesOf(body),
    source,
    ...(body.size == null ? {} : { sizeGib: gibOf(body.size) }),
    metadata: body.metadata ?? {},
    volumeType: volumeTypeName,
    availabilityZone,
  })
}

/** What we do not have is refused, in the words for a thing that is not there. */
function requireServed(body: VolumeBody): void {
  if (body.volume_type && !isVolumeType(body.volume_type))
    throw notFound(`Volume type with name ${body.volume_type} could not be found.`)
  if (body.consistencygroup_id) throw notFound(`ConsistencyGroup ${body.consistencygroup_id} could not be found.`)
  if (body.group_id) throw notFound(`Group ${body.group_id} could not be found.`)
  if (body.backup_id) throw notFound(`Backup ${body.backup_id} could not be found.`)
  if (body.availability_zone && body.availability_zone !== availabilityZone)
    throw badRequest(`Availability zone '${body.availability_zone}' is invalid.`)
  if (isTrue(body.multiattach)) throw badRequest('Multiattach volumes are not served by this version of Atoll.')
}

async function sourceOf(core: Core, caller: ProjectCaller, body: VolumeBody): Promise<VolumeSource> {
  const imageRef = body.imageRef || body.image_id
  const given = [body.snapshot_id, body.source_volid, imageRef].filter(Boolean).length
  if (given > 1) throw badRequest('May specify only one of snapshot, imageRef or source volume')
  if (body.snapshot_id) return { kind: 'snapshot', id: body.snapshot_id }
  if (body.source_volid) return { kind: 'volume', id: body.source_volid }
  if (imageRef) return { kind: 'image', id: await resolveImage(core, caller, imageRef) }
  return { kind: 'blank' }
}
