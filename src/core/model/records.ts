/**
 * What the core hands out: plain records, as they are at the moment of the answer. Times are milliseconds since 1970,
 * sizes are bytes unless the name says otherwise, `null` means "none".
 */

import type {
  AccessRuleId,
  ApplicationCredentialId,
  AttachmentId,
  ContainerId,
  CredentialId,
  GroupId,
  ImageId,
  ObjectId,
  ProjectId,
  ResourceId,
  RoleId,
  SnapshotId,
  UserId,
  VolumeId,
} from '../../lib/ids.js'
import type { Reader } from '../../catalog/types.js'
import type { Indirection } from './indirection.js'

export type Metadata = Record<string, string>

export type { ByteFeed, ByteSource } from '../../engine/uploads.js'

// ---- identity -------------------------------------------------------------------------------------------------------

/** Members of a body that the Identity API keeps and gives back as they are. */
export type Extra = Readonly<Record<string, unknown>>

export interface DomainReference {
  id: ProjectId
  name: string
}

export interface NamedInDomain {
  id: string
  name: string
  domain: DomainReference
}

export interface User {
  id: UserId
  name: string
  domain: DomainReference
  enabled: boolean
  description: string
  email: string | null
  defaultProjectId: ProjectId | null
  extra: Extra
  createdAt: number
}

export interface Group {
  id: GroupId
  name: string
  domain: DomainReference
  description: string
  extra: Extra
}

/** A project or a domain, which is its own domain. */
export interface Project {
  id: ProjectId
  name: string
  domain: DomainReference
  /** A project or a domain; null for a domain. */
  parentId: ProjectId | null
  isDomain: boolean
  enabled: boolean
  description: string
  extra: Extra
  createdAt: number
}

export type TaggedProject = Project & { tags: string[] }

export interface RoleReference {
  id: RoleId
  name: string
}

/** What a role grants is said in access.ts. */
export interface Role extends RoleReference {
  /** null: global. */
  domainId: ProjectId | null
  description: string
  /** It can be neither renamed nor deleted. */
  isFixed: boolean
  extra: Extra
}

export type AssignmentActor = NamedInDomain & { kind: 'user' | 'group' }
export type AssignmentTarget = (NamedInDomain & { kind: 'project' | 'domain' }) | { kind: 'system' }

export interface Assignment {
  actor: AssignmentActor
  target: AssignmentTarget
  role: Role
  /** It holds for the projects below the target. */
  inherited: boolean
}

export interface AccessRule {
  id: AccessRuleId
  /** The type of a service, such as `object-store`. */
  service: string
  method: string
  /** Of a URL; `*` and `{name}` stand for one segment, `**` for the rest. */
  path: string
}

export interface ApplicationCredential {
  id: ApplicationCredentialId
  userId: UserId
  projectId: ProjectId
  name: string
  description: string | null
  unrestricted: boolean
  /** In microseconds since 1970, as clients give and expect it. */
  expiresAtUs: number | null
  roles: Role[]
  /** null: everything may be called. */
  accessRules: AccessRule[] | null
}

/** What a token shows of the application credential that it was obtained with. */
export type TokenCredential = Pick<ApplicationCredential, 'id' | 'name' | 'unrestricted' | 'accessRules'>

export interface Credential {
  id: CredentialId
  userId: UserId
  projectId: ProjectId | null
  type: string
  blob: string
}

export interface Ec2Credential {
  userId: UserId
  projectId: ProjectId | null
  access: string
  secret: string
}

export interface Region {
  id: string
  description: string
  parentId: string | null
  extra: Extra
}

export interface Service {
  id: string
  type: string
  name: string
  description: string
  enabled: boolean
  extra: Extra
}

export interface Endpoint {
  id: string
  serviceId: string
  regionId: string | null
  interface: 'public' | 'internal' | 'admin'
  url: string
  enabled: boolean
  extra: Extra
}

/** Whom a token speaks for. Roles are those of this moment, not of the login. */
export interface Caller {
  user: User
  /** undefined: the token is not scoped to a project. */
  project: Project | undefined
  /** Of a token that is scoped to a domain. */
  domain: Project | undefined
  /** Whether the token is scoped to the system. */
  system: boolean
  roles: RoleReference[]
  /** The application credential that the token was obtained with. */
  credentialId: ApplicationCredentialId | null
  /** Whether that credential may not manage credentials. */
  isRestricted: boolean
  isAdmin: boolean
  /** Admin or member: may change things in the project. */
  canWrite: boolean
  /** Admin, member or reader: may look at things in the project. */
  canRead: boolean
  /** What allows this one request, in place of a role. */
  grant?: Grant | undefined
}

/** A right to something in object storage that comes from an access list or a signed URL (objects/access.ts). */
export interface Grant {
  /** Distinguishes grants of one caller. */
  readonly key: string
  /** What it was given for; undefined: the account itself. */
  readonly container: string | undefined
  /** Whether the caller sees and sets what concerns the owner of the account alone, such as access lists and keys. */
  readonly ownsAccount: boolean
  /** Throws NotAllowed or TokenInvalid unless it covers this container of the caller's project at this moment; undefined: the account itself. */
  require(db: Reader, container: string | undefined): Promise<void>
}

/** A caller whose token is scoped, and who may at least look at the project: what every function on things of a project takes. */
export type ProjectCaller = Caller & { project: Project }

export interface Session {
  caller: Caller
  /** How the token was got: `password`, `token`, `application_credential`. */
  methods: string[]
  /** The application credential that it was obtained with. */
  credential: TokenCredential | null
  issuedAt: number
  expiresAt: number
  /** This token's audit id first, that of the login it stems from second (if another). */
  auditIds: string[]
}

// ---- objects --------------------------------------------------------------------------------------------------------

/** Headers that a door keeps with a thing and gives back as they were (lower-case names), apart from the user's metadata. */
export type KeptHeaders = Record<string, string>

export interface Account {
  projectId: ProjectId
  containerCount: number
  objectCount: number
  bytesUsed: number
  metadata: Metadata
  headers: KeptHeaders
  /** When it was first written to; accounts exist from the first write on. null: nothing was written yet. */
  createdAt: number | null
}

export interface ContainerSummary {
  name: string
  objectCount: number
  bytesUsed: number
  updatedAt: number
}

export interface Container extends ContainerSummary {
  id: ContainerId
  projectId: ProjectId
  metadata: Metadata
  headers: KeptHeaders
  createdAt: number
}

export interface ObjectSummary {
  name: string
  sizeBytes: number
  /** MD5 of the bytes, 32 lower-case hexadecimal digits; null for an object of a snapshot or a volume, whose bytes nobody has read. */
  md5: string | null
  contentType: string
  updatedAt: number
  /** What it stands for; null: its own bytes. */
  indirection: Indirection | null
}

export interface StoredObject extends ObjectSummary {
  id: ObjectId
  resourceId: ResourceId
  /** SHA-256 of the bytes, 64 lower-case hexadecimal digits; null for more than 4 MiB, which nobody needs it of. */
  sha256: string | null
  metadata: Metadata
  headers: KeptHeaders
  /** When its bytes were put (a POST of metadata moves `updatedAt` only). */
  createdAt: number
  /** It is gone from then on; null: never. */
  expiresAt: number | null
}

/** One line of a listing with a delimiter. */
export type Listed<Summary> = { kind: 'item'; item: Summary } | { kind: 'subdir'; subdir: string }

// ---- images ---------------------------------------------------------------------------------------------------------

export const imageStatuses = ['queued', 'saving', 'active', 'deactivated'] as const
export type ImageStatus = (typeof imageStatuses)[number]

export const imageVisibilities = ['public', 'private', 'shared', 'community'] as const
export type ImageVisibility = (typeof imageVisibilities)[number]

export interface Image {
  id: ImageId
  name: string | null
  status: ImageStatus
  visibility: ImageVisibility
  owner: ProjectId
  protected: boolean
  hidden: boolean
  diskFormat: string | null
  containerFormat: string | null
  minDiskGib: number
  minRamMib: number
  sizeBytes: number | null
  /** MD5; null for an image of a snapshot or a volume, whose bytes nobody has read. */
  md5: string | null
  sha256: string | null
  /** Of the disk that the data describes; null: not known. */
  virtualSizeBytes: number | null
  /** null: no data yet. */
  resourceId: ResourceId | null
  /** Where its data came from, as a location URL; null when it was uploaded. */
  location: string | null
  /** Everything else that was set: free names, text values. */
  properties: Metadata
  tags: string[]
  createdAt: number
  updatedAt: number
}

export const memberStatuses = ['pending', 'accepted', 'rejected'] as const
export type MemberStatus = (typeof memberStatuses)[number]

/** A project that a shared image is shared with. */
export interface ImageMember {
  imageId: ImageId
  /** The project, as the image's owner wrote it. */
  member: string
  status: MemberStatus
  createdAt: number
  updatedAt: number
}

// ---- volumes --------------------------------------------------------------------------------------------------------

export const volumeStatuses = [
  'available',
  'reserved',
  'attaching',
  'in-use',
  'detaching',
  'maintenance',
  'error',
  'deleting',
] as const
/** `creating`: it waits for its image to be converted; nobody sets that. */
export type VolumeStatus = (typeof volumeStatuses)[number] | 'creating'

export interface Volume {
  id: VolumeId
  projectId: ProjectId
  userId: UserId
  name: string | null
  description: string | null
  sizeGib: number
  status: VolumeStatus
  bootable: boolean
  /** Attachments may only read. */
  readOnly: boolean
  sourceVolumeId: VolumeId | null
  snapshotId: SnapshotId | null
  imageId: ImageId | null
  volumeType: string
  availabilityZone: string
  metadata: Metadata
  /** Properties of the image that the volume was made from (with image_id, image_name, checksum, …); empty: none. */
  imageMetadata: Metadata
  resourceId: ResourceId
  attachments: Attachment[]
  createdAt: number
  updatedAt: number | null
}

export interface Snapshot {
  id: SnapshotId
  /** null: it was made from an image. */
  volumeId: VolumeId | null
  projectId: ProjectId
  userId: UserId
  name: string | null
  description: string | null
  sizeGib: number
  status: 'available' | 'error' | 'deleting'
  metadata: Metadata
  imageMetadata: Metadata
  bootable: boolean
  resourceId: ResourceId
  createdAt: number
  updatedAt: number | null
}

export const attachmentStatuses = ['reserved', 'attaching', 'attached', 'detached'] as const
export type AttachmentStatus = (typeof attachmentStatuses)[number]

/** What the client said about its machine: `host`, `ip`, `initiator`, `mountpoint`, … Kept and given back. */
export type Connector = Record<string, unknown>

/** How to reach an attached volume; Cinder's `connection_info`. */
export interface NbdConnectionInfo {
  driver_volume_type: 'nbd'
  data: {
    /** `nbd://host:port/export`, `nbds:` where TLS is required: works at once, and no longer once the attachment is deleted. */
    uri: string
    host: string
    port: number
    /** The export's name: 256 random bits. Whoever knows it may use the volume. */
    export: string
    access_mode: 'rw' | 'ro'
    attachment_id: AttachmentId
    volume_id: VolumeId
    size_bytes: number
    /** Only where the server speaks TLS. */
    tls?: {
      mode: 'opportunistic' | 'required'
      x509: boolean
      client_certificate: 'none' | 'optional' | 'required'
      psk: boolean
    }
  }
}

export interface Attachment {
  id: AttachmentId
  volumeId: VolumeId
  projectId: ProjectId
  instanceId: string | null
  mode: 'rw' | 'ro'
  status: AttachmentStatus
  mountpoint: string | null
  hostName: string | null
  connector: Connector | null
  /** null until a connector was given; also for callers who may not write, and when the attachment is no longer served. */
  connectionInfo: NbdConnectionInfo | null
  createdAt: number
  attachedAt: number | null
  updatedAt: number | null
}

// ---- lists ----------------------------------------------------------------------------------------------------------

/** Paging of images, volumes, snapshots and attachments. */
export interface Page<Id, SortKey extends string> {
  /** The last one that was seen; the page begins behind it. 404 of its kind when there is none such. */
  marker?: Id | undefined
  limit?: number | undefined
  /** Rows to leave out at the start. */
  offset?: number | undefined
  /** Most significant first. The id settles ties. Default: newest first. */
  sort?: { key: SortKey; direction: 'asc' | 'desc' }[] | undefined
}
