// support.ts: what the tests of the images API do all the time.

import type { Session } from '../../../../testkit/server.js'

export const patchType = 'application/openstack-images-v2.1-json-patch'
export const olderPatchType = 'application/openstack-images-v2.0-json-patch'
export const octets = { 'content-type': 'application/octet-stream' }
const raw = { disk_format: 'raw', container_format: 'bare' }

/** Answers the new image. */
export async function createImage(session: Session, members: Record<string, unknown> = {}) {
  const answer = await session.ask('/image/v2/images', { method: 'POST', json: { ...raw, ...members } })
  if (answer.status !== 201) throw new Error(`POST /v2/images: ${answer.status} ${answer.text}`)
  return answer.json
}

export async function upload(session: Session, imageId: string, data: Buffer): Promise<void> {
  const answer = await session.ask(`/image/v2/images/${imageId}/file`, { method: 'PUT', headers: octets, body: data })
  if (answer.status !== 204) throw new Error(`PUT /v2/images/${imageId}/file: ${answer.status} ${answer.text}`)
}

export function patch(session: Session, imageId: string, operations: unknown, mediaType = patchType) {
  return session.ask(`/image/v2/images/${imageId}`, {
    method: 'PATCH',
    headers: { 'content-type': mediaType },
    json: operations,
  })
}

export function addLocation(session: Session, imageId: string, url: string, validation?: Record<string, unknown>) {
  const value = { url, metadata: {}, ...(validation ? { validation_data: validation } : {}) }
  return patch(session, imageId, [{ op: 'add', path: '/locations/-', value }])
}

/** Bytes that look the same in every run. */
export function patterned(lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes)
  for (let at = 0; at < lengthBytes; at++) bytes[at] = (at * 7 + (at >> 9)) & 0xff
  return bytes
}
