// support.ts: what the tests of the block storage API do all the time.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Question } from '../../../../testkit/http.js'
import type { Session } from '../../../../testkit/server.js'

export const at = (minor: number): { 'openstack-api-version': string } => ({
  'openstack-api-version': `volume 3.${minor}`,
})

/** `path` is that below the project: `/volumes`. */
export function call(
  session: Session,
  method: string,
  path: string,
  options: { minor?: number; json?: unknown; headers?: Question['headers'] } = {},
) {
  const { minor, json, headers } = options
  return session.ask(`/volume/v3/${session.projectId}${path}`, {
    method,
    headers: { ...headers, ...(minor === undefined ? {} : at(minor)) },
    ...(json === undefined ? {} : { json }),
  })
}

/** Answers the member of that name in the answer's body; fails on any other status. */
async function made(session: Session, path: string, member: string, value: Record<string, unknown>, minor: number) {
  const answer = await call(session, 'POST', path, { minor, json: { [member]: value } })
  if (answer.status !== 200 && answer.status !== 202) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`)
  return answer.json[member]
}

export const createVolume = (session: Session, volume: Record<string, unknown> = {}, minor = 70) =>
  made(session, '/volumes', 'volume', { size: 1, ...volume }, minor)

export const createSnapshot = (
  session: Session,
  volumeId: string,
  snapshot: Record<string, unknown> = {},
  minor = 70,
) => made(session, '/snapshots', 'snapshot', { volume_id: volumeId, ...snapshot }, minor)

export const attach = (session: Session, volumeId: string, attachment: Record<string, unknown> = {}, minor = 70) =>
  made(session, '/attachments', 'attachment', { volume_uuid: volumeId, connector: { host: 'h' }, ...attachment }, minor)

export const act = (session: Session, volumeId: string, action: Record<string, unknown>, minor?: number) =>
  call(session, 'POST', `/volumes/${volumeId}/action`, { json: action, ...(minor === undefined ? {} : { minor }) })

export async function statusOf(session: Session, volumeId: string): Promise<string> {
  return (await call(session, 'GET', `/volumes/${volumeId}`)).json.volume.status
}

/** Clients learn that a thing is deleted when it cannot be shown any more. */
export async function gone(show: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    const isGone = await show().then(
      () => false,
      () => true,
    )
    if (isGone) return
    await sleep(200)
  }
  throw new Error('it does not go')
}
