/** An attachment as the block storage API shows it. */

import type { Attachment, NbdConnectionInfo } from '../../../../core/model/records.js'
import { cinderTimeOrNull } from './time.js'

export function attachmentSummary(attachment: Attachment): Record<string, unknown> {
  return {
    id: attachment.id,
    status: attachment.status,
    instance: attachment.instanceId,
    volume_id: attachment.volumeId,
  }
}

export function attachmentDetail(attachment: Attachment): Record<string, unknown> {
  return {
    ...attachmentSummary(attachment),
    attached_at: cinderTimeOrNull(attachment.attachedAt) ?? '',
    detached_at: '',
    attach_mode: attachment.connector === null ? null : attachment.mode,
    connection_info: attachment.connectionInfo === null ? null : flatConnectionInfo(attachment.connectionInfo),
  }
}

/** Attachments carry the connection flat; `os-initialize_connection` answers it with the details under `data`. */
function flatConnectionInfo(info: NbdConnectionInfo): Record<string, unknown> {
  return { driver_volume_type: info.driver_volume_type, ...connectionData(info) }
}

/** With the members that clients of every driver expect. */
export function connectionData(info: NbdConnectionInfo): Record<string, unknown> {
  return {
    ...info.data,
    discard: true,
    encrypted: false,
    cacheable: false,
    qos_specs: null,
    enforce_multipath: false,
  }
}
