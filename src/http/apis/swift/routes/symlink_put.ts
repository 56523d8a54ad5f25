/** PUT of a symbolic link: an object without bytes that stands for another one. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { ContainerNotFound, LinkTargetChanged, ObjectNotFound, TooManyLinks } from '../../../../core/model/errors.js'
import type { LinkIndirection } from '../../../../core/model/indirection.js'
import type { Content } from '../../../../core/objects/contents.js'
import { linksMax } from '../../../../core/objects/contents.js'
import { contentLength, hasBody, readBody } from '../../../shared/body.js'
import { BodyTooLarge } from '../../../shared/errors.js'
import { SwiftError } from '../errors.js'
import { callersOf } from '../requests/callers.js'
import { putOptions } from '../requests/put_options.js'
import { givenContentType } from '../requests/object_headers.js'
import { wantedLink } from '../requests/symlink.js'
import { accountPrefix, type ObjectTarget } from '../requests/target.js'
import { objectUrl } from '../urls.js'
import { etagHeader } from '../responses/object_headers.js'
import { lastModifiedHeader } from '../responses/timestamps.js'

export async function putSymlink(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  await requireNoBody(request)
  const { link, etag } = wantedLink(request, target)
  const options = putOptions(request, target.object)
  const pointed = etag === undefined ? undefined : await pointedAt(core, target, request, { link, etag })
  const expected = etag === undefined || pointed === undefined ? undefined : { etag, ...sizeOf(pointed) }
  const stored = await core.objects.put(target.caller, target, {
    ...options,
    contentType: givenContentType(request) ?? pointed?.object.contentType ?? 'application/symlink',
    body: nothing(),
    indirection: expected === undefined ? link : { ...link, expected },
  })
  return reply
    .code(201)
    .headers({ ...etagHeader({ etag: stored.md5 }), 'last-modified': lastModifiedHeader(stored.updatedAt) })
    .type('text/html; charset=UTF-8')
    .send('')
}

/** Of what is read through the link. */
function sizeOf({ object, sizeBytes }: Content): { sizeBytes: number; largeEtag?: string } {
  const { indirection } = object
  return indirection?.kind === 'static'
    ? { sizeBytes: indirection.sizeBytes, largeEtag: indirection.etag }
    : { sizeBytes }
}

async function* nothing(): AsyncGenerator<Buffer, void, void> {}

/** Throws 400. */
async function requireNoBody(request: FastifyRequest): Promise<void> {
  const refusal = new SwiftError(400, 'Symlink requests require a zero byte body')
  if ((contentLength(request) ?? 0) > 0) throw refusal
  if (!hasBody(request)) return
  try {
    if ((await readBody(request, 1)).length > 0) throw refusal
  } catch (error) {
    throw error instanceof BodyTooLarge ? refusal : error
  }
}

/** What a static link points at. Throws 409 if there is nothing, or something else than the client expects. */
async function pointedAt(
  core: Core,
  target: ObjectTarget,
  request: FastifyRequest,
  { link, etag }: { link: LinkIndirection; etag: string },
): Promise<Content> {
  let at = { projectId: link.projectId ?? target.projectId, container: link.container, object: link.object }
  try {
    const callerOf = callersOf(core, request, target)
    return await core.contents.head(await callerOf(at, 'read'), at, {
      callerOf,
      follow: 'static',
      manifest: true,
      expected: etag,
      onFollow: (next) => {
        at = next
      },
    })
  } catch (error) {
    const location = { 'content-location': objectUrl({ ...at, account: `${accountPrefix}${at.projectId}` }) }
    if (error instanceof ObjectNotFound || error instanceof ContainerNotFound) {
      throw new SwiftError(409, 'X-Symlink-Target does not exist', location)
    }
    throw linkRefusal(error, location) ?? error
  }
}

/** undefined: it is no error of a link. */
export function linkRefusal(error: unknown, headers: Record<string, string>): SwiftError | undefined {
  if (error instanceof TooManyLinks) {
    return new SwiftError(409, `Too many levels of symbolic links, maximum allowed is ${linksMax}`)
  }
  if (error instanceof LinkTargetChanged) return new SwiftError(409, error.message, headers)
  return undefined
}
