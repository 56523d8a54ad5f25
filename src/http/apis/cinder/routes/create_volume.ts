/** Creates a volume as the body of POST asks for it. */

import type { Core } from '../../../../core/core.js'
import type { ProjectCaller, Volume } from '../../../../core/model/records.js'
import { availabilityZone } from '../backend.js'
import { namesOf } from '../requests/names.js'
import { gibOf } from '../requests/validation.js'
import type { VolumeBody } from '../requests/volume_body.js'
import { requireSupported, sourceOf } from '../requests/volume_source.js'
import { volumeTypeName } from '../volume_type.js'
import { resolveImage } from './image_ref.js'

export async function createVolume(core: Core, caller: ProjectCaller, body: VolumeBody): Promise<Volume> {
  requireSupported(body)
  const source = sourceOf(body)
  return core.volumeSources.create(caller, {
    ...namesOf(body),
    source:
      source.kind === 'image' ? { kind: 'image', id: await resolveImage(core, caller, source.reference) } : source,
    ...(body.size == null ? {} : { sizeGib: gibOf(body.size) }),
    metadata: body.metadata ?? {},
    volumeType: volumeTypeName,
    availabilityZone,
  })
}
