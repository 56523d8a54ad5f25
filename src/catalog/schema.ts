/**
 * The catalog's tables, as the newest migration leaves them. docs/internals/format.md explains them.
 *
 * Times are milliseconds since 1970. Flags are 0 or 1. Every name and value is text in UTF-8, compared byte by byte
 * (SQLite's default; a PostgreSQL catalog needs the collation "C").
 */

import type {
  AccessRuleId,
  ApplicationCredentialId,
  AttachmentId,
  ContainerId,
  CredentialId,
  GroupId,
  ImageId,
  JobId,
  LayerId,
  ObjectId,
  ProjectId,
  ResourceId,
  RoleId,
  SnapshotId,
  UserId,
  VolumeId,
} from '../lib/ids.js'

export type Flag = 0 | 1
export const flag = (value: boolean): Flag => (value ? 1 : 0)

// ---- the tree -------------------------------------------------------------------------------------------------------

export interface ResourceRow {
  id: ResourceId
  mode: 'ro' | 'rw'
  size_bytes: number
  head_layer: LayerId
  created_at: number
}

export interface LayerRow {
  id: LayerId
  parent: LayerId | null
  /** How many of the parent's blocks, from the start, show through. 0 without a parent. */
  parent_limit_blocks: number
  sealed: Flag
  /** `dropping`: out of the tree, its space is being given back; the row goes when that has ended. */
  state: 'live' | 'dropping'
  created_at: number
}

/** One row, from the first start on: which store the catalog belongs to (src/core/directory/store_identity.ts). */
export interface StoreIdentityRow {
  id: string
  generation: number
}

export interface SequenceRow {
  name: string
  next: number
}

// ---- identity -------------------------------------------------------------------------------------------------------

/** A project or a domain. */
export interface ProjectRow {
  id: ProjectId
  name: string
  /** Unique: the domain and the name; of a domain, the name alone (core/identity/names.ts). */
  name_key: string
  /** A domain is its own. */
  domain_id: ProjectId
  /** A project or a domain; null for a domain. */
  parent_id: ProjectId | null
  is_domain: Flag
  enabled: Flag
  description: string
  /** JSON: members that the Identity API keeps for its clients. */
  extra: string
  created_at: number
}

/** What is above a project: itself (depth 0), its parent (1), and so on to its domain. */
export interface ProjectAncestorRow {
  project_id: ProjectId
  ancestor_id: ProjectId
  depth: number
}

export interface UserRow {
  id: UserId
  name: string
  /** Unique, as of a project. */
  name_key: string
  domain_id: ProjectId
  /** Empty: no password. */
  password_hash: string
  enabled: Flag
  description: string
  email: string | null
  default_project_id: ProjectId | null
  extra: string
  created_at: number
}

export interface GroupRow {
  id: GroupId
  domain_id: ProjectId
  name: string
  description: string
  extra: string
  created_at: number
}

/** To whom a grant must be for a user to have it: the user (always there), and each of the user's groups. */
export interface ActorRow {
  user_id: UserId
  actor_id: string
}

export interface RoleRow {
  id: RoleId
  name: string
  /** Unique, as of a project; of a global role, the name alone. */
  name_key: string
  /** null: global. */
  domain_id: ProjectId | null
  description: string
  extra: string
}

export interface GrantRow {
  /** A user or a group. */
  actor_id: string
  /** A project, a domain or `system`. */
  target_id: string
  role_id: RoleId
  /** 1: on the projects below the target, not on the target itself. */
  inherited: Flag
}

export interface ApplicationCredentialRow {
  id: ApplicationCredentialId
  user_id: UserId
  project_id: ProjectId
  name: string
  description: string | null
  secret_hash: string
  unrestricted: Flag
  has_access_rules: Flag
  /** Microseconds. */
  expires_at_us: number | null
  created_at: number
}

export interface AccessRuleRow {
  id: AccessRuleId
  user_id: UserId
  service: string
  method: string
  path: string
}

export interface CredentialRow {
  id: CredentialId
  user_id: UserId
  project_id: ProjectId | null
  type: string
  blob: string
  created_at: number
}

export interface RegionRow {
  id: string
  description: string
  parent_id: string | null
  extra: string
}

export interface ServiceRow {
  id: string
  type: string
  name: string
  description: string
  enabled: Flag
  extra: string
}

export interface EndpointRow {
  id: string
  service_id: string
  region_id: string | null
  interface: 'public' | 'internal' | 'admin'
  url: string
  enabled: Flag
  extra: string
}

export interface TokenRow {
  /** SHA-256 of the token. */
  hash: string
  user_id: UserId
  /** A project or a domain. */
  project_id: ProjectId | null
  /** 1: for the system; `project_id` is null then. */
  system: Flag
  /** The credential that it was obtained with. */
  application_credential_id: ApplicationCredentialId | null
  /** With commas between. */
  methods: string
  audit_id: string
  /** Of the first token of the chain. */
  parent_audit_id: string | null
  /** Of the token that this one was obtained with; it is deleted with that one. */
  parent_hash: string | null
  issued_at: number
  expires_at: number
}

// ---- object storage -------------------------------------------------------------------------------------------------

export interface AccountRow {
  project_id: ProjectId
  container_count: number
  object_count: number
  bytes_used: number
  created_at: number
}

export interface ContainerRow {
  id: ContainerId
  project_id: ProjectId
  name: string
  object_count: number
  bytes_used: number
  created_at: number
  updated_at: number
}

export interface ObjectRow {
  id: ObjectId
  container_id: ContainerId
  name: string
  resource_id: ResourceId
  size_bytes: number
  /** null: not known, because nobody has read the bytes: the object came with a snapshot, or with an image of a volume. */
  md5: string | null
  /** null: not known, for it is longer than a chunk */
  sha256: string | null
  content_type: string
  created_at: number
  updated_at: number
  /** JSON (src/core/model/indirection.ts): it stands for the bytes of others. null: for its own. */
  indirection: string | null
  /** It is gone from then on. null: never. */
  expires_at: number | null
}

/** `meta`: the user's own; `header`: kept for a door. */
export type MetadataKind = 'meta' | 'header'

interface KindOfMetadata {
  kind: MetadataKind
  name: string
  value: string
}

// ---- images, volumes ------------------------------------------------------------------------------------------------

/** `upload`: by Glance, or of a volume; `snapshot`: by Cinder; `registration`: of what was there already. */
export type ImageOrigin = 'upload' | 'snapshot' | 'registration'

export interface ImageRow {
  id: ImageId
  name: string | null
  status: 'queued' | 'saving' | 'active' | 'deactivated'
  visibility: 'public' | 'private' | 'shared' | 'community'
  owner: ProjectId
  protected: Flag
  hidden: Flag
  disk_format: string | null
  container_format: string | null
  min_disk_gib: number
  min_ram_mib: number
  size_bytes: number | null
  md5: string | null
  sha256: string | null
  resource_id: ResourceId | null
  location: string | null
  /** How it got its data; null: none yet, or before this was recorded. */
  origin: ImageOrigin | null
  /** The object that came with it. It may have been deleted or replaced since. */
  object_id: ObjectId | null
  /** Of the disk that the data describes; null: not known. */
  virtual_size_bytes: number | null
  created_at: number
  updated_at: number
}

export interface VolumeRow {
  id: VolumeId
  project_id: ProjectId
  user_id: UserId
  name: string | null
  description: string | null
  size_gib: number
  /** `creating`: it waits for the twin of its image. */
  status:
    | 'creating'
    | 'available'
    | 'reserved'
    | 'attaching'
    | 'in-use'
    | 'detaching'
    | 'maintenance'
    | 'error'
    | 'deleting'
  bootable: Flag
  read_only: Flag
  source_volume_id: VolumeId | null
  snapshot_id: SnapshotId | null
  image_id: ImageId | null
  volume_type: string
  availability_zone: string
  resource_id: ResourceId
  created_at: number
  updated_at: number | null
}

/**
 * What a snapshot is beside the image of the same ID. (A snapshot that was made before images and snapshots shared an ID has no image.)
 */
export interface SnapshotRow {
  id: SnapshotId
  /** null: it was made from an image, or its volume is gone. */
  volume_id: VolumeId | null
  /** 0: its image is no snapshot now (EXCLUDE_ALL_TASKS was removed); the row keeps what it was. */
  listed: Flag
  project_id: ProjectId
  user_id: UserId
  name: string | null
  description: string | null
  size_gib: number
  status: 'available' | 'error' | 'deleting'
  bootable: Flag
  resource_id: ResourceId
  created_at: number
  updated_at: number | null
}

export interface AttachmentRow {
  id: AttachmentId
  volume_id: VolumeId
  project_id: ProjectId
  /** Whoever gave it its connector: it is served as long as this user may write in the project. null: made before this was recorded. */
  user_id: UserId | null
  instance_id: string | null
  mode: 'rw' | 'ro'
  status: 'reserved' | 'attaching' | 'attached' | 'detached'
  mountpoint: string | null
  host_name: string | null
  /** JSON. */
  connector: string | null
  /**
   * A capability: whoever knows it may use the volume. Not hashed, because the connection info that contains it can be
   * asked for again; it is worth no more than the data beside it, and dies with the attachment.
   */
  export_name: string | null
  created_at: number
  attached_at: number | null
  updated_at: number | null
}

/** What the volumes and snapshots of a project add up to. */
export interface BlockUsageRow {
  project_id: ProjectId
  volumes: number
  volume_gib: number
  snapshots: number
}

/** Long work that somebody asked for (src/core/jobs). */
export interface JobRow {
  id: JobId
  kind: 'conversion'
  project_id: ProjectId
  image_id: ImageId
  name: string | null
  state: 'queued' | 'running' | 'done' | 'error'
  /** 0 to 100. */
  progress: number
  /** Why it failed. */
  message: string
  attempts: number
  /** What it writes, and the size of that. */
  resource_id: ResourceId | null
  size_bytes: number | null
  created_at: number
  updated_at: number
}

/** A project that an image is shared with. */
export interface ImageMemberRow {
  image_id: ImageId
  /** As the owner wrote it: there may be no such project. */
  member: string
  status: 'pending' | 'accepted' | 'rejected'
  created_at: number
  updated_at: number
}

/** The raw bytes of an image in another format. */
export interface ImageTwinRow {
  id: ImageId
  name: string | null
  resource_id: ResourceId
  size_bytes: number
  created_at: number
}

interface NamedValue {
  name: string
  value: string
}

export interface Schema {
  resources: ResourceRow
  layers: LayerRow
  sequences: SequenceRow
  store_identity: StoreIdentityRow
  projects: ProjectRow
  users: UserRow
  project_ancestors: ProjectAncestorRow
  project_tags: { project_id: ProjectId; tag: string }
  groups: GroupRow
  actors: ActorRow
  roles: RoleRow
  role_implications: { prior_id: RoleId; implied_id: RoleId }
  /** A role and each role that it comes to: itself, and those that it implies, directly or through others. */
  role_expansion: { role_id: RoleId; effective_id: RoleId }
  grants: GrantRow
  application_credentials: ApplicationCredentialRow
  application_credential_roles: { credential_id: ApplicationCredentialId; role_id: RoleId }
  access_rules: AccessRuleRow
  application_credential_rules: { credential_id: ApplicationCredentialId; rule_id: AccessRuleId }
  credentials: CredentialRow
  regions: RegionRow
  services: ServiceRow
  endpoints: EndpointRow
  tokens: TokenRow
  accounts: AccountRow
  account_metadata: KindOfMetadata & { project_id: ProjectId }
  containers: ContainerRow
  container_metadata: KindOfMetadata & { container_id: ContainerId }
  objects: ObjectRow
  object_metadata: KindOfMetadata & { object_id: ObjectId }
  images: ImageRow
  image_properties: NamedValue & { image_id: ImageId }
  image_tags: { image_id: ImageId; tag: string }
  volumes: VolumeRow
  volume_metadata: NamedValue & { volume_id: VolumeId }
  volume_image_metadata: NamedValue & { volume_id: VolumeId }
  snapshots: SnapshotRow
  snapshot_metadata: NamedValue & { snapshot_id: SnapshotId }
  snapshot_image_metadata: NamedValue & { snapshot_id: SnapshotId }
  attachments: AttachmentRow
  image_members: ImageMemberRow
  image_twins: ImageTwinRow
  jobs: JobRow
  /** IDs of images, volumes and snapshots, also of deleted ones. */
  used_ids: { id: string }
  block_usage: BlockUsageRow
}
