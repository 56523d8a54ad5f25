/** The volume type in the block storage API's format. */

import { volumeTypeId, volumeTypeName } from '../volume_type.js'

export function volumeTypeView(isAdmin: boolean): Record<string, unknown> {
  return {
    id: volumeTypeId,
    name: volumeTypeName,
    description: 'Thin, copy-on-write at 4 KiB; served over NBD',
    is_public: true,
    'os-volume-type-access:is_public': true,
    extra_specs: {},
    ...(isAdmin ? { qos_specs_id: null } : {}),
  }
}
