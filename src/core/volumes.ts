/** Volumes: a rw resource with what Cinder says about it. */
import type { VolumeId } from '../lib/ids.js'
import type { Metadata, Page, ProjectCaller, Volume, VolumeStatus } from './records.js'

export type VolumeSource =
  | { kind: 'blank' }
  /** By id; a name is the door's to resolve. */
  | { kind: 'image'; id: string }
  | { kind: 'snapshot'; id: string }
  | { kind: 'volume'; id: string }

export interface NewVolume {
  /** Default: as many GiB as the source needs; required for blank ones. SizeTooSmall below the source's. */
  sizeGib?: number | undefined
  source: VolumeSource
  name?: string | null | undefined
  description?: string | null | undefined
  metadata?: Metadata | undefined
  availabilityZone?: string | undefined
  volumeType?: string | undefined
}

export type VolumeSortKey =
  | 'id'
  | 'name'
  | 'created_at'
  | 'updated_at'
  | 'size'
  | 'status'
  | 'bootable'
  | 'availability_zone'

export interface VolumeQuery extends Page<VolumeId, VolumeSortKey> {
  /** Heeded for admins only. */
  allProjects?: boolean | undefined
  /** With allProjects. */
  projectId?: string | undefined
  ids?: string[] | undefined
  name?: string | undefined
  status?: string | undefined
  bootable?: boolean | undefined
  availabilityZone?: string | undefined
  metadata?: Metadata | undefined
}

export declare class Volumes {
  /** Complete when it returns: status `available`. */
  create(caller: ProjectCaller, volume: NewVolume): Promise<Volume>
  /** Throws VolumeNotFound. */
  get(caller: ProjectCaller, id: string): Promise<Volume>
  list(caller: ProjectCaller, query: VolumeQuery): Promise<Volume[]>
  /** Ignores marker, limit and offset. */
  count(caller: ProjectCaller, query: VolumeQuery): Promise<number>
  update(
    caller: ProjectCaller,
    id: string,
    change: {
      name?: string | null | undefined
      description?: string | null | undefined
      /** The whole set. */
      metadata?: Metadata | undefined
      /** The whole set. */
      imageMetadata?: Metadata | undefined
      bootable?: boolean | undefined
      readOnly?: boolean | undefined
      /** Cinder's own state changes (reserve, begin detaching, reset): `from` is checked in the same transaction (VolumeStateConflict). */
      status?: { from?: readonly VolumeStatus[] | undefined; to: VolumeStatus } | undefined
    },
  ): Promise<Volume>
  /** Larger only. Also while attached (`attached: true` allows that); a reconnecting client sees it. */
  extend(caller: ProjectCaller, id: string, sizeGib: number, options?: { attached?: boolean }): Promise<Volume>
  /**
   * Status must be available or error (any with `force`, which also ends its attachments). Snapshots refuse it
   * (VolumeHasSnapshots) unless `cascade`. What was cloned from it lives on. Space comes back in the background.
   */
  delete(caller: ProjectCaller, id: string, options?: { cascade?: boolean; force?: boolean }): Promise<void>
}
