/**
 * What Swift offers and this version does not: refused in words (501) where a client asks for it, so that nothing is
 * stored or shared in a way that its owner did not mean. `/info` advertises none of it.
 */

import type { FastifyRequest } from 'fastify'
import { NotServed } from '../../shared/errors.js'
import { queryParameter } from '../../shared/query.js'

const headers: Readonly<Record<string, string>> = {
  'x-object-manifest': 'a dynamic large object (X-Object-Manifest)',
  'x-symlink-target': 'a symbolic link (X-Symlink-Target)',
  'x-delete-at': 'expiry (X-Delete-At)',
  'x-delete-after': 'expiry (X-Delete-After)',
  'x-container-read': 'sharing a container (X-Container-Read)',
  'x-container-write': 'sharing a container (X-Container-Write)',
  'x-account-access-control': 'sharing an account (X-Account-Access-Control)',
  'x-container-sync-to': 'container sync (X-Container-Sync-To)',
  'x-versions-location': 'versioning (X-Versions-Location)',
  'x-history-location': 'versioning (X-History-Location)',
  'x-versions-enabled': 'versioning (X-Versions-Enabled)',
}

const parameters: Readonly<Record<string, string>> = {
  'bulk-delete': 'bulk deletion',
  'extract-archive': 'extracting archives',
  hashmap: 'uploading and downloading by hash map',
  path: 'the listing parameter "path" (use prefix and delimiter)',
  'version-id': 'versioning',
}

/**
 * Throws NotServed. `?versions` on a listing is no request for versioning: `swift delete --all` asks for it everywhere, and
 * where there are no versions the listing is the plain one. An empty header takes away what is not there,
 * and is harmless.
 */
export function refuseUnsupported(request: FastifyRequest): void {
  for (const [parameter, feature] of Object.entries(parameters)) {
    if (queryParameter(request, parameter) !== undefined) throw new NotServed(feature)
  }
  const manifest = queryParameter(request, 'multipart-manifest')
  // There are no manifests, so that "get the manifest, not what it lists" is a plain get.
  if (manifest !== undefined && manifest !== 'get') throw new NotServed('a static large object (multipart-manifest)')
  if (request.method === 'GET' || request.method === 'HEAD') return
  for (const [header, feature] of Object.entries(headers)) {
    const value = request.headers[header]
    if (value !== undefined && value !== '' && !/^(false|off|no|0)$/i.test(String(value))) throw new NotServed(feature)
  }
}
