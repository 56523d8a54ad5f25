/** Names that programs give to things. Each kind is a type of its own, so that they cannot be mixed up. */

import { randomBytes, randomUUID } from 'node:crypto'

type Branded<Base, Brand> = Base & { readonly __brand: Brand }

/** A copy-on-write address space; objects, images, snapshots and volumes are views of one. A UUID. */
export type ResourceId = Branded<string, 'ResourceId'>
/** Handed out by the catalog, never used again, below 2^53. */
export type LayerId = Branded<number, 'LayerId'>

export type ObjectId = Branded<string, 'ObjectId'>
export type ContainerId = Branded<string, 'ContainerId'>
export type ImageId = Branded<string, 'ImageId'>
export type VolumeId = Branded<string, 'VolumeId'>
export type SnapshotId = Branded<string, 'SnapshotId'>
export type JobId = Branded<string, 'JobId'>
export type AttachmentId = Branded<string, 'AttachmentId'>

/** 32 hexadecimal digits, as Keystone writes them: a project's id is part of its account's name (`AUTH_<id>`). */
export type ProjectId = Branded<string, 'ProjectId'>
export type UserId = Branded<string, 'UserId'>
export type RoleId = Branded<string, 'RoleId'>
export type GroupId = Branded<string, 'GroupId'>
export type ApplicationCredentialId = Branded<string, 'ApplicationCredentialId'>
export type AccessRuleId = Branded<string, 'AccessRuleId'>
export type CredentialId = Branded<string, 'CredentialId'>

/**
 * A UUID that begins with the time (RFC 9562, version 7): rows that are made one after the other lie side by side in the indexes of
 * the catalog, and a commit of many writes few of their pages. For ids that nobody outside sees.
 */
function timedUuid(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`
}

export const newStoreId = (): string => randomUUID()
export const newResourceId = (): ResourceId => timedUuid() as ResourceId
export const newObjectId = (): ObjectId => timedUuid() as ObjectId
export const newContainerId = (): ContainerId => randomUUID() as ContainerId
export const newImageId = (): ImageId => randomUUID() as ImageId
export const newVolumeId = (): VolumeId => randomUUID() as VolumeId
export const newSnapshotId = (): SnapshotId => randomUUID() as SnapshotId
export const newJobId = (): JobId => randomUUID() as JobId
export const newAttachmentId = (): AttachmentId => randomUUID() as AttachmentId

export const newHexId = (): string => randomUUID().replaceAll('-', '')
export const newProjectId = (): ProjectId => newHexId() as ProjectId
export const newUserId = (): UserId => newHexId() as UserId
export const newRoleId = (): RoleId => newHexId() as RoleId
export const newGroupId = (): GroupId => newHexId() as GroupId
export const newApplicationCredentialId = (): ApplicationCredentialId => newHexId() as ApplicationCredentialId
export const newAccessRuleId = (): AccessRuleId => newHexId() as AccessRuleId
export const newCredentialId = (): CredentialId => newHexId() as CredentialId

/** 256 random bits in 43 characters that need no escaping in a URL: tokens, export names, first passwords. */
export const newSecret = (): string => randomBytes(32).toString('base64url')

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Is this a UUID as we write them (lower case, with dashes)? */
export const isUuid = (text: string): boolean => uuidPattern.test(text)
