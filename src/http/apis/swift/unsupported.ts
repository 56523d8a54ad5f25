/**
 * What Swift offers and Atoll does not support: headers and query parameters. Refused, so that nothing is stored or shared in a way
 * that its owner did not mean. `/info` advertises none of it.
 */

import type { FastifyRequest } from 'fastify'
import { Unsupported } from '../../shared/errors.js'
import { queryParameter } from '../../shared/query.js'

const headers: Readonly<Record<string, string>> = {
  'x-container-sync-to': 'container sync (X-Container-Sync-To)',
  'x-versions-location': 'versioning (X-Versions-Location)',
  'x-history-location': 'versioning (X-History-Location)',
  'x-versions-enabled': 'versioning (X-Versions-Enabled)',
}

const parameters: Readonly<Record<string, string>> = {
  'extract-archive': 'extracting archives',
  hashmap: 'uploading and downloading by hash map',
  path: 'the listing parameter "path" (use prefix and delimiter)',
  'version-id': 'versioning',
}

/**
 * Throws Unsupported. `?versions` on a listing is accepted: `swift delete --all` always sends it, and without versions the listing
 * is the plain one. Empty headers and false ones remove or disable what does not exist, and are accepted too.
 */
export function refuseUnsupported(request: FastifyRequest): void {
  for (const [parameter, feature] of Object.entries(parameters)) {
    if (queryParameter(request, parameter) !== undefined) throw new Unsupported(feature)
  }
  if (request.method === 'GET' || request.method === 'HEAD') return
  for (const [header, feature] of Object.entries(headers)) {
    const value = request.headers[header]
    if (value !== undefined && value !== '' && !/^(false|off|no|0)$/i.test(String(value)))
      throw new Unsupported(feature)
  }
}
