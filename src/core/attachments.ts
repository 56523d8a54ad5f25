/** Attachments: the right to use a volume over NBD, by an export name that nobody can guess and that dies with it. */
import type { AttachmentId } from '../lib/ids.js'
import type { Attachment, Connector, Page, ProjectCaller } from './records.js'

export type AttachmentSortKey = 'id' | 'created_at' | 'updated_at' | 'status' | 'volume_id'

export interface AttachmentQuery extends Page<AttachmentId, AttachmentSortKey> {
  allProjects?: boolean | undefined
  projectId?: string | undefined
  volumeId?: string | undefined
  instanceId?: string | undefined
  status?: string | undefined
}

export declare class Attachments {
  /**
   * Without a connector the volume becomes `reserved`; with one it becomes `attaching` and the export works at once.
   * The volume must be available (or reserved/attaching for the same instance, 3.27). Throws VolumeStateConflict, NoTenantDoor.
   */
  create(
    caller: ProjectCaller,
    attachment: {
      volumeId: string
      instanceId?: string | null | undefined
      connector?: Connector | null | undefined
      mode?: 'rw' | 'ro' | undefined
      mountpoint?: string | null | undefined
    },
  ): Promise<Attachment>
  /** Throws AttachmentNotFound. */
  get(caller: ProjectCaller, id: string): Promise<Attachment>
  list(caller: ProjectCaller, query: AttachmentQuery): Promise<Attachment[]>
  count(caller: ProjectCaller, query: AttachmentQuery): Promise<number>
  /** Gives or changes the connector: the export exists afterwards. */
  update(
    caller: ProjectCaller,
    id: string,
    change: { connector: Connector; mode?: 'rw' | 'ro' | undefined; mountpoint?: string | null | undefined },
  ): Promise<Attachment>
  /** The machine uses it: attachment `attached`, volume `in-use`. */
  complete(caller: ProjectCaller, id: string): Promise<Attachment>
  /** When it returns, the export is gone and its connections have ended. The volume becomes available (when it was the last one). */
  delete(caller: ProjectCaller, id: string): Promise<void>
}
