/**
 * Microversions 3.0 to 3.70 of the block storage API (Cinder, "REST API Version History").
 *
 * The major version is always 3, so a microversion is carried as its minor number alone: 27 means 3.27. A client asks by
 * `OpenStack-API-Version: volume 3.27` (or `volume latest`); without the header it gets 3.0. What was used is answered in
 * the same header, and `Vary` names it, because bodies differ by it.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { CinderFault } from './errors.js'

export const minMinor = 0
export const maxMinor = 70
const versionHeader = 'OpenStack-API-Version'

declare module 'fastify' {
  interface FastifyRequest {
    /** Minor number of the negotiated block storage microversion; 0 outside of block storage. */
    microversion: number
  }
}

/** The minor numbers at which something that Atoll serves appears or changes. */
export const since = {
  uploadVisibility: 1,
  strictBootableFilter: 2,
  servicesCluster: 7,
  summary: 12,
  groups: 13,
  groupSnapshots: 14,
  metadataEtag: 15,
  providerId: 21,
  snapshotMetadataFilter: 22,
  deleteForce: 23,
  attachments: 27,
  resourceFilters: 33,
  summaryMetadata: 36,
  snapshotUserId: 41,
  extendInUse: 42,
  attachmentComplete: 44,
  count: 45,
  sharedTargets: 48,
  backendState: 49,
  strictBodies: 53,
  attachmentMode: 54,
  clusterName: 61,
  volumeTypeId: 63,
  consumesQuota: 65,
  snapshotWithoutForce: 66,
} as const

/** Reads the header's value; it may name several services (`compute 2.1, volume 3.27`). Throws 400 or 406. */
export function parseMicroversion(header: string | undefined): number {
  for (const part of (header ?? '').split(',')) {
    const [service, version, ...rest] = part.trim().split(/\s+/)
    if (service?.toLowerCase() !== 'volume') continue
    if (version?.toLowerCase() === 'latest' && rest.length === 0) return maxMinor
    const match = rest.length === 0 ? /^([1-9]\d{0,8})\.(0|[1-9]\d{0,8})$/.exec(version ?? '') : null
    if (match === null)
      throw new CinderFault(
        400,
        `API Version String '${[version, ...rest].join(' ')}' is of invalid format. Must be of format MajorNum.MinorNum.`,
      )
    const [major, minor] = [Number(match[1]), Number(match[2])]
    if (major !== 3 || minor > maxMinor)
      throw new CinderFault(
        406,
        `Version ${major}.${minor} is not supported by the API. Minimum is 3.${minMinor} and maximum is 3.${maxMinor}.`,
      )
    return minor
  }
  return minMinor
}

/** For everything under `/v3`: negotiates before anything else is looked at, and says on every answer what was used. */
export function negotiateMicroversions(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('Vary', versionHeader)
    const header = request.headers[versionHeader.toLowerCase()]
    request.microversion = parseMicroversion(Array.isArray(header) ? header.join(',') : header)
    void reply.header(versionHeader, `volume 3.${request.microversion}`)
  })
}

/** Below `minor` the route does not exist: 404 as Cinder answers it. */
export function requireMicroversion(request: FastifyRequest, minor: number): void {
  if (request.microversion < minor)
    throw new CinderFault(404, `API version 3.${request.microversion} is not supported on this method.`)
}
