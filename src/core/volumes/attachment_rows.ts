/** Attachments as they are stored and as they are told. */

import type { Reader } from '../../catalog/types.js'
import type { AttachmentRow } from '../../catalog/schema.js'
import { PreparedIn } from '../../catalog/prepared_in.js'
import type { VolumeId } from '../../lib/ids.js'
import { GiB } from '../../lib/units.js'
import type { TenantAddress } from '../exports/exports.js'
import type { Attachment, NbdConnectionInfo } from '../model/records.js'

export interface AttachedVolume {
  sizeGib: number
}

/** `address`: undefined where the connection info is not shown. */
export function toAttachment(
  row: AttachmentRow,
  volume: AttachedVolume,
  address: TenantAddress | undefined,
): Attachment {
  return {
    id: row.id,
    volumeId: row.volume_id,
    projectId: row.project_id,
    instanceId: row.instance_id,
    mode: row.mode,
    status: row.status,
    mountpoint: row.mountpoint,
    hostName: row.host_name,
    connector: row.connector === null ? null : JSON.parse(row.connector),
    connectionInfo: connectionInfo(row, volume, address),
    createdAt: row.created_at,
    attachedAt: row.attached_at,
    updatedAt: row.updated_at,
  }
}

function connectionInfo(
  row: AttachmentRow,
  volume: AttachedVolume,
  address: TenantAddress | undefined,
): NbdConnectionInfo | null {
  if (row.export_name === null || address === undefined) return null
  const { host, port, tls } = address
  const scheme = tls?.mode === 'required' ? 'nbds' : 'nbd'
  return {
    driver_volume_type: 'nbd',
    data: {
      uri: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}/${row.export_name}`,
      host,
      port,
      export: row.export_name,
      access_mode: row.mode,
      attachment_id: row.id,
      volume_id: row.volume_id,
      size_bytes: volume.sizeGib * GiB,
      ...(tls && {
        tls: { mode: tls.mode, x509: tls.x509, client_certificate: tls.clientCertificate, psk: tls.psk },
      }),
    },
  }
}

const attachmentsIn = new PreparedIn<AttachmentRow, VolumeId>((db, volumes) =>
  db
    .selectFrom('attachments')
    .selectAll()
    .where('volume_id', 'in', volumes)
    .orderBy('created_at')
    .orderBy('id')
    .compile(),
)

/** Of many volumes at once, oldest first. */
export async function attachmentsOf(db: Reader, volumes: readonly VolumeId[]): Promise<Map<VolumeId, AttachmentRow[]>> {
  const found = new Map<VolumeId, AttachmentRow[]>()
  for (const row of await attachmentsIn.all(db, volumes)) {
    const list = found.get(row.volume_id)
    if (list) list.push(row)
    else found.set(row.volume_id, [row])
  }
  return found
}
