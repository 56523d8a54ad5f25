/**
 * URLs of what is stored already, for images that are registered:
 *
 *   swift://AUTH_<project>/<container>/<object>   an object; each part percent-encoded, the object's slashes as they are
 *   cinder://snapshots/<id>                       a snapshot
 *   cinder://volumes/<id>                         a volume as it is now
 */

import { LocationNotServed } from '../model/errors.js'
import type { ObjectRef } from '../objects/objects.js'

export type ImageLocation =
  | { kind: 'object'; object: ObjectRef }
  | { kind: 'snapshot'; id: string }
  | { kind: 'volume'; id: string }

/** Throws LocationNotServed. */
export function parseLocation(url: string): ImageLocation {
  const object = /^swift:\/\/AUTH_([^/?#]+)\/([^/?#]+)\/([^?#]+)$/.exec(url)
  if (object) {
    const [projectId, container, name] = object.slice(1).map((part) => decode(part, url)) as [string, string, string]
    return { kind: 'object', object: { projectId, container, object: name } }
  }
  const block = /^cinder:\/\/(snapshots|volumes)\/([0-9a-f-]{36})$/.exec(url)
  if (block) return { kind: block[1] === 'snapshots' ? 'snapshot' : 'volume', id: block[2] as string }
  throw new LocationNotServed(url.slice(0, 200))
}

export function objectLocation({ projectId, container, object }: ObjectRef): string {
  const path = object.split('/').map(encodeURIComponent).join('/')
  return `swift://AUTH_${encodeURIComponent(projectId)}/${encodeURIComponent(container)}/${path}`
}

function decode(text: string, url: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new LocationNotServed(url.slice(0, 200))
  }
}
