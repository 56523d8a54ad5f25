/** Images: a ro resource with what Glance says about it. */
import type { Readable } from 'node:stream'
import type { ImageId, SnapshotId, VolumeId } from '../lib/ids.js'
import type { ByteRange } from './objects.js'
import type { ByteSource, Image, ImageStatus, ImageVisibility, Metadata, Page, ProjectCaller } from './records.js'

export interface NewImage {
  /** A UUID that the client chose; ImageExists when taken. */
  id?: string | undefined
  name?: string | null | undefined
  visibility?: ImageVisibility | undefined
  /** Only an admin may name another project than the own. */
  owner?: string | undefined
  protected?: boolean | undefined
  hidden?: boolean | undefined
  diskFormat?: string | null | undefined
  containerFormat?: string | null | undefined
  minDiskGib?: number | undefined
  minRamMib?: number | undefined
  properties?: Metadata | undefined
  tags?: string[] | undefined
}

/** What PATCH may change; what is not named stays. `properties` and `tags` replace the whole set. */
export type ImageChange = Omit<NewImage, 'id'>

export type ImageSortKey =
  | 'name'
  | 'status'
  | 'id'
  | 'created_at'
  | 'updated_at'
  | 'size'
  | 'disk_format'
  | 'container_format'
  | 'min_disk'
  | 'min_ram'
  | 'owner'
  | 'visibility'
  | 'protected'

export type Comparison = { operator: 'gt' | 'gte' | 'lt' | 'lte' | 'eq' | 'neq'; value: number }

export interface ImageQuery extends Page<ImageId, ImageSortKey> {
  /** Each: one of these (`in:`). */
  name?: string[] | undefined
  id?: string[] | undefined
  status?: ImageStatus[] | string[] | undefined
  diskFormat?: string[] | undefined
  containerFormat?: string[] | undefined
  /** undefined: own, public and shared-with-me ones (`all` in Glance: community ones too). */
  visibility?: ImageVisibility | 'all' | undefined
  owner?: string | undefined
  protected?: boolean | undefined
  /** Default false. */
  hidden?: boolean | undefined
  minSizeBytes?: number | undefined
  maxSizeBytes?: number | undefined
  md5?: string | undefined
  sha256?: string | undefined
  /** Has all of them. */
  tags?: string[] | undefined
  properties?: Metadata | undefined
  /** Milliseconds since 1970. */
  createdAt?: Comparison[] | undefined
  updatedAt?: Comparison[] | undefined
}

export interface OpenImage {
  image: Image
  read(range?: ByteRange): Readable
  close(): Promise<void>
}

export declare class Images {
  /** Status `queued`. */
  create(caller: ProjectCaller, image: NewImage): Promise<Image>
  /** Throws ImageNotFound, also for ids that are no UUIDs and for what the caller may not see. */
  get(caller: ProjectCaller, id: string): Promise<Image>
  list(caller: ProjectCaller, query: ImageQuery): Promise<Image[]>
  update(caller: ProjectCaller, id: string, change: ImageChange): Promise<Image>
  addTag(caller: ProjectCaller, id: string, tag: string): Promise<void>
  removeTag(caller: ProjectCaller, id: string, tag: string): Promise<void>
  setActive(caller: ProjectCaller, id: string, active: boolean): Promise<void>
  /** Throws ImageProtected. Its clones live on. */
  delete(caller: ProjectCaller, id: string): Promise<void>

  /** `queued` → `saving` → `active`; back to `queued` when it fails. Throws ImageHasData, ImageInUse, ImageFormatMissing. */
  upload(
    caller: ProjectCaller,
    id: string,
    upload: { body: ByteSource; lengthBytes?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<Image>
  /** Throws ImageNotReady. */
  open(caller: ProjectCaller, id: string): Promise<OpenImage>

  /**
   * Gives a queued image the data of what is stored already; no byte moves. URLs (percent-encoded):
   *   swift://AUTH_<project>/<container>/<object> · cinder://snapshots/<id> · cinder://volumes/<id> (a snapshot of it as it is now)
   * What is expected is verified: LocationMismatch (400).
   */
  register(
    caller: ProjectCaller,
    id: string,
    location: { url: string; sizeBytes?: number | undefined; md5?: string | undefined; sha256?: string | undefined },
  ): Promise<Image>
  /** A new active image of a volume as it is now (os-volume_upload_image), in O(1). */
  createFromVolume(
    caller: ProjectCaller,
    volumeId: VolumeId | string,
    image: NewImage,
    options?: { force?: boolean },
  ): Promise<Image>
  /** A new active image that shares the snapshot's resource. */
  createFromSnapshot(caller: ProjectCaller, snapshotId: SnapshotId | string, image: NewImage): Promise<Image>
}
