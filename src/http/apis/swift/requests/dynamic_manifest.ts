/** `X-Object-Manifest`: the container and the prefix of a dynamic large object's segments. */

import type { FastifyRequest } from 'fastify'
import type { DynamicIndirection } from '../../../../core/model/indirection.js'
import { SwiftError } from '../errors.js'
import { headerText } from '../header_text.js'
import { decodeText } from './path.js'

/** undefined: the object is not one. Throws 400 for another form than `container/prefix`. */
export function dynamicManifestOf(request: FastifyRequest): DynamicIndirection | undefined {
  const header = request.headers['x-object-manifest']
  if (header === undefined || header === '') return undefined
  const text = String(header)
  const path = decodeText(text)
  const slash = path.indexOf('/')
  const prefix = path.slice(slash + 1)
  if (slash < 1 || prefix === '' || prefix.startsWith('/') || /[?&]/.test(text)) {
    throw new SwiftError(400, 'X-Object-Manifest must be in the format container/prefix')
  }
  return { kind: 'dynamic', container: path.slice(0, slash), prefix, header: headerText(text) }
}
