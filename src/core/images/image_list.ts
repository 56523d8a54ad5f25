/** Which images a list shows. */

import { type SelectQueryBuilder, type SqlBool, sql } from 'kysely'
import type { Reader } from '../../catalog/types.js'
import { weightsOf } from '../../catalog/named_values.js'
import { flag, type ImageRow, type Schema } from '../../catalog/schema.js'
import type { ImageId, ProjectId } from '../../lib/ids.js'
import { withMetadata } from '../lists/metadata_filter.js'
import { column, numberOr, type PageOf, pageOf, textOr } from '../lists/pages.js'
import type { SlicePace } from '../lists/slices.js'
import { ImageNotFound } from '../model/errors.js'
import type {
  Image,
  ImageStatus,
  ImageVisibility,
  MemberStatus,
  Metadata,
  Page,
  ProjectCaller,
} from '../model/records.js'
import { toImages } from './image_rows.js'

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
  /** undefined: own and public ones, and shared ones (memberStatus); for an admin, everything. `all`: community ones too. */
  visibility?: ImageVisibility | 'all' | undefined
  /** What the caller's project made of the images that are shared with it. Default: accepted. */
  memberStatus?: MemberStatus | 'all' | undefined
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

const sortKeys = {
  name: textOr('name'),
  status: column('status'),
  id: column('id'),
  created_at: column('created_at'),
  updated_at: column('updated_at'),
  size: numberOr('size_bytes'),
  disk_format: textOr('disk_format'),
  container_format: textOr('container_format'),
  min_disk: column('min_disk_gib'),
  min_ram: column('min_ram_mib'),
  owner: column('owner'),
  visibility: column('visibility'),
  protected: column('protected'),
}

const operators = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '=', neq: '!=' } as const

type Images = SelectQueryBuilder<Schema, 'images', object>

/** Throws ImageNotFound for a marker that the caller does not see. */
export async function pageOfImages(
  db: Reader,
  caller: ProjectCaller,
  query: ImageQuery,
  pace: SlicePace,
): Promise<PageOf<Image>> {
  const filtered = filteredImages(db, caller, query)
  // What a list leaves out by default (community images, hidden ones) may still be seen, and be its marker.
  const visible = visibleTo(db.selectFrom('images'), caller, { visibility: 'all', memberStatus: 'all' })
  return pageOf<ImageRow, 'images', ImageSortKey, Image>(filtered, visible, {
    page: query,
    keys: sortKeys,
    notFound: ImageNotFound,
    pace,
    load: (rows) => toImages(db, rows),
    weigh: (ids) => weightsOf(db, ['image_properties'], ids),
  })
}

function filteredImages(db: Reader, caller: ProjectCaller, query: ImageQuery): Images {
  let images: Images = db.selectFrom('images')
  images = visibleTo(images, caller, query)
  images = oneOf(images, query)
  if (query.owner !== undefined) images = images.where('owner', '=', query.owner as ProjectId)
  if (query.protected !== undefined) images = images.where('protected', '=', flag(query.protected))
  images = images.where('hidden', '=', flag(query.hidden ?? false))
  if (query.minSizeBytes !== undefined) images = images.where('size_bytes', '>=', query.minSizeBytes)
  if (query.maxSizeBytes !== undefined) images = images.where('size_bytes', '<=', query.maxSizeBytes)
  if (query.md5 !== undefined) images = images.where('md5', '=', query.md5)
  if (query.sha256 !== undefined) images = images.where('sha256', '=', query.sha256)
  for (const { operator, value } of query.createdAt ?? []) {
    images = images.where('created_at', operators[operator], value)
  }
  for (const { operator, value } of query.updatedAt ?? []) {
    images = images.where('updated_at', operators[operator], value)
  }
  for (const tag of query.tags ?? []) {
    images = images.where(
      sql<SqlBool>`exists (select 1 from image_tags as t where t.image_id = images.id and t.tag = ${tag})`,
    )
  }
  return withMetadata(images, 'images.id', 'image_properties', query.properties)
}

function oneOf(images: Images, query: ImageQuery): Images {
  let filtered = images
  if (query.name !== undefined) filtered = filtered.where('name', 'in', query.name)
  if (query.id !== undefined) filtered = filtered.where('id', 'in', query.id as ImageId[])
  if (query.status !== undefined) filtered = filtered.where('status', 'in', query.status as ImageStatus[])
  if (query.diskFormat !== undefined) filtered = filtered.where('disk_format', 'in', query.diskFormat)
  if (query.containerFormat !== undefined) filtered = filtered.where('container_format', 'in', query.containerFormat)
  return filtered
}

function visibleTo(
  images: Images,
  caller: ProjectCaller,
  { visibility: asked, memberStatus = 'accepted' }: Pick<ImageQuery, 'visibility' | 'memberStatus'>,
): Images {
  const own = caller.project.id
  if (asked === 'public' || asked === 'community') return images.where('visibility', '=', asked)
  if (asked === 'private' || asked === 'shared') {
    const kind = images.where('visibility', '=', asked)
    if (caller.isAdmin) return kind
    if (asked === 'private') return kind.where('owner', '=', own)
    return kind.where((e) => e.or([e('owner', '=', own), sharedWith(own, memberStatus)]))
  }
  if (caller.isAdmin) return images
  const open: ImageVisibility[] = asked === 'all' ? ['public', 'community'] : ['public']
  return images.where((e) => e.or([e('owner', '=', own), e('visibility', 'in', open), sharedWith(own, memberStatus)]))
}

function sharedWith(project: ProjectId, status: MemberStatus | 'all') {
  const asked = status === 'all' ? sql`` : sql` and m.status = ${status}`
  return sql<SqlBool>`(images.visibility = 'shared' and exists (select 1 from image_members as m
    where m.image_id = images.id and m.member = ${project}${asked}))`
}
