/**
 * A volume as the block storage API shows it, with exactly the members of the asked microversion (Cinder, "REST API
 * Version History"; strict clients fail on extra members as on missing ones).
 */

import type { Attachment, Volume } from '../../../../core/model/records.js'
import { since } from '../microversion.js'
import type { ViewContext } from './context.js'
import { linksOf } from './links.js'
import { cinderTime, cinderTimeOrNull } from './time.js'

/** The brief form of lists. */
export function volumeSummary(volume: Volume, context: ViewContext): Record<string, unknown> {
  return { id: volume.id, name: volume.name, links: linksOf(context, 'volumes', volume.id) }
}

/** What POST and PUT answer. */
export function volumeView(volume: Volume, context: ViewContext): Record<string, unknown> {
  const { isAdmin, microversion } = context
  const from = (minor: number, members: Record<string, unknown>): Record<string, unknown> =>
    microversion >= minor ? members : {}
  return {
    id: volume.id,
    status: volume.status,
    size: volume.sizeGib,
    availability_zone: volume.availabilityZone,
    created_at: cinderTime(volume.createdAt),
    updated_at: cinderTimeOrNull(volume.updatedAt),
    name: volume.name,
    description: volume.description,
    volume_type: volume.volumeType,
    snapshot_id: volume.snapshotId,
    source_volid: volume.sourceVolumeId,
    metadata: { ...volume.metadata, ...(volume.readOnly ? { readonly: 'True' } : {}) },
    links: linksOf(context, 'volumes', volume.id),
    user_id: volume.userId,
    bootable: String(volume.bootable),
    encrypted: false,
    replication_status: null,
    consistencygroup_id: null,
    multiattach: false,
    attachments: volume.attachments.filter(({ status }) => status === 'attached').map((a) => attached(a, isAdmin)),
    ...(isAdmin ? { migration_status: null } : {}),
    ...from(since.groups, { group_id: null }),
    ...(isAdmin ? from(since.providerId, { provider_id: null }) : {}),
    ...from(since.sharedTargets, { service_uuid: null, shared_targets: false }),
    ...(isAdmin ? from(since.clusterName, { cluster_name: null }) : {}),
    ...from(since.volumeTypeId, { volume_type_id: context.volumeTypeId }),
    ...from(since.consumesQuota, { consumes_quota: true }),
  }
}

/** What GET answers, alone and in detailed lists: some members more. */
export function volumeDetail(volume: Volume, context: ViewContext): Record<string, unknown> {
  return {
    ...volumeView(volume, context),
    'os-vol-tenant-attr:tenant_id': volume.projectId,
    ...(context.isAdmin
      ? {
          'os-vol-host-attr:host': context.host,
          'os-vol-mig-status-attr:migstat': null,
          'os-vol-mig-status-attr:name_id': null,
        }
      : {}),
    ...(Object.keys(volume.imageMetadata).length > 0 ? { volume_image_metadata: volume.imageMetadata } : {}),
  }
}

function attached(attachment: Attachment, isAdmin: boolean): Record<string, unknown> {
  return {
    id: attachment.volumeId,
    attachment_id: attachment.id,
    volume_id: attachment.volumeId,
    server_id: attachment.instanceId,
    // A tenant learns nothing of the hosts that its servers run on.
    host_name: isAdmin ? attachment.hostName : null,
    device: attachment.mountpoint,
    attached_at: cinderTimeOrNull(attachment.attachedAt),
  }
}
