/** What can go wrong in the unified model, in words for the one who asked. */

import { defineError } from '../../lib/errors.js'

// Who asks
export const LoginFailed = defineError(
  'login_failed',
  401,
  'the user name or password is wrong, or there is no access to the project',
)
export const TokenInvalid = defineError('token_invalid', 401, 'the token is unknown, expired or revoked')
export const TooManyLogins = defineError('too_many_logins', 429, 'too many logins are being checked; try again')
export const NotAllowed = defineError('not_allowed', 403, 'this needs the role %s')
export const AccountForbidden = defineError('account_forbidden', 403, 'the account %s does not belong to your project')
export const UserNotFound = defineError('user_not_found', 404, 'there is no user %s')
export const ProjectNotFound = defineError('project_not_found', 404, 'there is no project %s')
export const RoleNotFound = defineError('role_not_found', 404, 'there is no role %s')
export const AssignmentNotFound = defineError(
  'assignment_not_found',
  404,
  'the user does not have this role in this project',
)
export const NameTaken = defineError('name_taken', 409, 'there is already a %s named %s')
export const DomainNotFound = defineError('domain_not_found', 404, 'there is no domain %s')
export const GroupNotFound = defineError('group_not_found', 404, 'there is no group %s')
export const MembershipNotFound = defineError('membership_not_found', 404, 'the user is not in this group')
export const ImplicationNotFound = defineError('implication_not_found', 404, 'the one role does not imply the other')
export const CredentialNotFound = defineError('credential_not_found', 404, 'there is no credential %s')
export const CredentialExists = defineError(
  'credential_exists',
  409,
  'there is already a credential with this access key',
)
export const ApplicationCredentialNotFound = defineError(
  'application_credential_not_found',
  404,
  'the user has no application credential %s',
)
export const AccessRuleNotFound = defineError('access_rule_not_found', 404, 'the user has no access rule %s')
export const AccessRuleInUse = defineError(
  'access_rule_in_use',
  403,
  'the access rule %s is used by an application credential; delete that one first',
)
export const RestrictedCredential = defineError(
  'restricted_credential',
  403,
  'a restricted application credential cannot manage credentials',
)
export const RoleNotHeld = defineError('role_not_held', 400, 'expected a role of your token, got "%s"')
export const RoleFixed = defineError('role_fixed', 403, 'the role %s is built in and stays as it is')
export const RoleOfDomainImplied = defineError(
  'role_of_domain_implied',
  403,
  'a global role cannot imply the role of a domain',
)
export const DefaultDomainFixed = defineError('default_domain_fixed', 403, 'the default domain cannot be %s')
export const DomainNotDisabled = defineError(
  'domain_not_disabled',
  403,
  'the domain %s is enabled; disable it before it is deleted',
)
export const ProjectHasChildren = defineError(
  'project_has_children',
  403,
  'the project %s has projects below it; delete them first',
)
export const ProjectHasEnabledChildren = defineError(
  'project_has_enabled_children',
  403,
  'the project %s has enabled projects below it; disable them first',
)
export const ProjectNotEmpty = defineError(
  'project_not_empty',
  409,
  'the project %s still owns %s; delete or transfer them first',
)
export const ProjectTooDeep = defineError('project_too_deep', 403, 'a tree of projects has at most %s levels')
export const RegionNotFound = defineError('region_not_found', 404, 'there is no region %s')
export const RegionExists = defineError('region_exists', 409, 'there is already a region %s')
export const RegionInUse = defineError(
  'region_in_use',
  403,
  'the region %s has regions or endpoints; delete them first',
)
export const ServiceNotFound = defineError('service_not_found', 404, 'there is no service %s')
export const EndpointNotFound = defineError('endpoint_not_found', 404, 'there is no endpoint %s')
export const EntryBuiltIn = defineError('entry_built_in', 403, 'the entry %s of the service catalog is built in')
export const BadPassword = defineError('bad_password', 400, 'a password has 1 to 1024 bytes')
export const InvalidArgument = defineError('invalid_argument', 400, '%s')

// Resources
export const ResourceNotFound = defineError('resource_not_found', 404, 'there is no resource %s')
export const KeepsChanging = defineError('keeps_changing', 503, '%s changes faster than it can be opened; try again')
export const SizeTooSmall = defineError(
  'size_too_small',
  400,
  "the size of %s bytes is less than the source's %s bytes",
)
export const SizeOutOfRange = defineError('size_out_of_range', 400, 'a size is a whole number of bytes from 0 to %s')
export const UploadTooLarge = defineError(
  'upload_too_large',
  413,
  'the upload is longer than the %s bytes that are allowed',
)
export const UploadTruncated = defineError('upload_truncated', 400, 'the upload ended after %s of %s bytes')
export const ChecksumMismatch = defineError('checksum_mismatch', 422, 'the upload has the MD5 %s, not %s')

// Objects
export const AccountNotFound = defineError('account_not_found', 404, 'there is no account %s')
export const ContainerNotFound = defineError('container_not_found', 404, 'there is no container %s')
export const ContainerNotEmpty = defineError('container_not_empty', 409, 'the container %s is not empty')
export const ObjectNotFound = defineError('object_not_found', 404, 'there is no object %s')
export const QuotaExceeded = defineError(
  'quota_exceeded',
  413,
  'the upload exceeds a quota of the account or the container',
)
export const TooManyLinks = defineError('too_many_links', 409, 'expected at most %s symbolic links on the way')
export const LinkTargetChanged = defineError(
  'link_target_changed',
  409,
  "Object Etag '%s' does not match X-Symlink-Target-Etag header '%s'",
)
export const SegmentMissing = defineError('segment_missing', 409, 'the segment /%s/%s is missing')
export const SegmentMismatch = defineError(
  'segment_mismatch',
  409,
  'the segment /%s/%s is not what the manifest says: it was replaced',
)
export const LargeObjectTooLong = defineError(
  'large_object_too_long',
  409,
  'expected at most %s segments in a large object',
)
export const ManifestTooDeep = defineError(
  'manifest_too_deep',
  409,
  'expected at most %s levels of manifests within each other',
)
export const NotOneResource = defineError(
  'not_one_resource',
  409,
  'the object %s is a manifest or a symbolic link; copy it first, then its copy can become an image',
)
export const ObjectExists = defineError('object_exists', 412, 'there is already an object %s')

// Images
export const ImageNotFound = defineError('image_not_found', 404, 'there is no image %s')
export const ImageExists = defineError(
  'image_exists',
  409,
  'the ID %s is or was in use; choose another one, or let the server choose',
)
export const ImagePropertyLimit = defineError(
  'image_property_limit',
  413,
  'The limit has been exceeded on the number of allowed image properties. Attempted: %s, Maximum: %s',
)
export const ImagePropertiesTooLong = defineError(
  'image_properties_too_long',
  413,
  'expected names and values of image properties of at most %s bytes together, got %s bytes',
)
export const ImageTagLimit = defineError(
  'image_tag_limit',
  413,
  'The limit has been exceeded on the number of allowed image tags. Attempted: %s, Maximum: %s',
)
export const ImageProtected = defineError('image_protected', 403, 'the image %s is protected and cannot be deleted')
export const ImageHasData = defineError('image_has_data', 409, 'the image %s has its data already')
export const ImageChanged = defineError(
  'image_changed',
  409,
  'the image %s was changed by another request at the same time; try again',
)
export const ImageFormatFixed = defineError(
  'image_format_fixed',
  403,
  'Attribute %s can be replaced only while the image is queued; the image %s is %s',
)
export const ImageDeactivated = defineError(
  'image_deactivated',
  403,
  'the image %s is deactivated: its data is for administrators',
)
export const ImageTagNotFound = defineError('image_tag_not_found', 404, 'the image %s has no tag %s')
export const ImageInUse = defineError('image_in_use', 409, 'data is being uploaded to the image %s')
export const ImageNotReady = defineError('image_not_ready', 409, 'the image %s has no data yet (status %s)')
export const ImageFormatMissing = defineError(
  'image_format_missing',
  400,
  'disk_format and container_format must be set before data is given',
)
export const ImageNotShared = defineError(
  'image_not_shared',
  403,
  'only shared images have members; the image %s is %s',
)
export const ImageMemberNotFound = defineError('image_member_not_found', 404, 'there is no member %s of the image %s')
export const ImageMemberExists = defineError('image_member_exists', 409, '%s is already a member of the image %s')
export const ImageMemberLimit = defineError(
  'image_member_limit',
  413,
  'The limit has been exceeded on the number of allowed image members for this image. Attempted: %s, Maximum: %s',
)
export const ImageRefused = defineError('image_refused', 400, '%s')
export const ConversionFailed = defineError('conversion_failed', 400, 'the image could not be converted: %s')
export const ImageFormatNotRaw = defineError(
  'image_format_not_raw',
  400,
  'the image %s has the format %s; only raw, iso and qcow2 images can become volumes',
)
export const LocationNotServed = defineError(
  'location_not_served',
  400,
  'the location %s is not one of swift://AUTH_<project>/<container>/<object>, cinder://snapshots/<id> and cinder://volumes/<id>',
)
export const LocationMismatch = defineError('location_mismatch', 400, "the location's %s is %s, not %s")

// Volumes
export const VolumeNotFound = defineError('volume_not_found', 404, 'there is no volume %s')
export const VolumeStateConflict = defineError(
  'volume_state_conflict',
  400,
  'the volume %s is %s; this needs it to be %s',
)
export const VolumeHasSnapshots = defineError('volume_has_snapshots', 400, 'the volume %s still has %s snapshots')
export const VolumeAttached = defineError(
  'volume_attached',
  400,
  'the volume %s is attached (attachment %s): detach it first',
)
export const SeveralAttachments = defineError(
  'several_attachments',
  400,
  'the volume %s has several attachments: name one by its attachment_id',
)
export const AttachmentNotOfVolume = defineError('attachment_not_of_volume', 404, 'the volume has no attachment %s')
export const SnapshotNotFound = defineError('snapshot_not_found', 404, 'there is no snapshot %s')
export const VolumeAttachmentLimit = defineError(
  'volume_attachment_limit',
  413,
  'the volume %s has the most attachments that a volume may have, which is %s',
)
export const AttachmentNotFound = defineError('attachment_not_found', 404, 'there is no attachment %s')
export const NoTenantDoor = defineError(
  'no_tenant_door',
  503,
  'the server has no NBD address for attachments (start it with --nbd HOST:PORT)',
)

// NBD exports
export const NothingNamed = defineError('nothing_named', 404, 'there is no %s with the ID or name "%s"')
export const NameNotUnique = defineError('name_not_unique', 409, 'the name "%s" is not unique: %s; use an ID')

// ---- the store itself ----

export const TreeDamaged = defineError(
  'tree_damaged',
  500,
  'the layer tree is damaged at layer %s: stop the server and run atoll check',
)
export const CatalogOlder = defineError(
  'catalog_older',
  500,
  'catalog.db is not the one that belongs to the store: %s; nothing was changed; put the right one back (atoll check says more)',
)
export const StoreMismatch = defineError(
  'store_mismatch',
  500,
  'the catalog and the store in %s do not belong together: %s; nothing was changed; mount or restore what is missing, older or ' +
    "another store's, so that catalog.db and all of store/ are of one time (atoll check says more)",
)
