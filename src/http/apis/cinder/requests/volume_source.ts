/** What POST of a volume asks for: its source, and features that Atoll does not support. */

import type { VolumeSource } from '../../../../core/conversions/volume_sources.js'
import { availabilityZone } from '../backend.js'
import { badRequest, notFound } from '../errors.js'
import { isVolumeType } from '../volume_type.js'
import { isTrue } from './validation.js'
import type { VolumeBody } from './volume_body.js'

/** As the client names it: an image by ID, URL or name. */
export type RequestedSource = Exclude<VolumeSource, { kind: 'image' }> | { kind: 'image'; reference: string }

/** Throws 400 for more than one source, and for a blank volume without a size. Clients send every member, most of them null. */
export function sourceOf(body: VolumeBody): RequestedSource {
  const imageRef = body.imageRef || body.image_id
  const given = [body.snapshot_id, body.source_volid, imageRef].filter(Boolean).length
  if (given > 1) throw badRequest('May specify only one of snapshot, imageRef or source volume')
  if (body.snapshot_id) return { kind: 'snapshot', id: body.snapshot_id }
  if (body.source_volid) return { kind: 'volume', id: body.source_volid }
  if (imageRef) return { kind: 'image', reference: imageRef }
  if (body.size == null)
    throw badRequest(
      'Invalid volume size provided for create request: None (size argument must be an integer (or string representation of an integer) and greater than zero).',
    )
  return { kind: 'blank' }
}

/** Throws 404 for types, groups and backups, none of which exist beyond the one type, and 400 for other zones and multiattach. */
export function requireSupported(body: VolumeBody): void {
  if (body.volume_type && !isVolumeType(body.volume_type))
    throw notFound(`Volume type with name ${body.volume_type} could not be found.`)
  if (body.consistencygroup_id) throw notFound(`ConsistencyGroup ${body.consistencygroup_id} could not be found.`)
  if (body.group_id) throw notFound(`Group ${body.group_id} could not be found.`)
  if (body.backup_id) throw notFound(`Backup ${body.backup_id} could not be found.`)
  if (body.availability_zone && body.availability_zone !== availabilityZone)
    throw badRequest(`Availability zone '${body.availability_zone}' is invalid.`)
  if (isTrue(body.multiattach)) throw badRequest('Multiattach volumes are not served by this version of Atoll.')
}
