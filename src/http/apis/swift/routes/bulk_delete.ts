/**
 * Deletes of many things by one request: `?bulk-delete`, and `?multipart-manifest=delete`, which deletes the segments of a static
 * large object before its manifest. The answer is 200, whatever becomes of each; its body says so.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { isData, segmentPath } from '../../../../core/objects/static_manifest.js'
import { withoutTrailingSlashes } from '../../../../lib/addresses.js'
import { contentLength, readBody } from '../../../shared/body.js'
import { BodyTooLarge, describeError } from '../../../shared/errors.js'
import { SwiftError, statusText } from '../errors.js'
import { limits } from '../limits.js'
import type { ListingFormat } from '../media_types.js'
import { listingFormat, outcomeFormat } from '../requests/listing_format.js'
import { decodeText } from '../requests/path.js'
import { callersOf } from '../requests/callers.js'
import { callerAt, type ObjectTarget, projectIdOf, unauthorized } from '../requests/target.js'
import { withHeartbeat } from '../responses/heartbeat.js'
import { outcomeBody, statusLine } from '../responses/outcome.js'
import { quotedName } from '../urls.js'

/** An object, or a container when there is no name of one. */
interface Doomed {
  /** As it is named in the answer. */
  name: string
  container: string
  object: string | undefined
  /** It names others of the request, which are deleted before it. */
  manifest?: boolean
}

interface Account {
  account: string
  projectId: string
}

/** Why something was not deleted before it was tried. */
interface Refused {
  name: string
  status: number
  text: string
}

type Item = Doomed | Refused

/** Deletes under way at one time: they share the commits of the catalog. */
const deletesAtOnce = 32

/** POST or DELETE of an account (or anything in it) with `?bulk-delete`. */
export async function bulkDelete(core: Core, account: string, request: FastifyRequest, reply: FastifyReply) {
  // Each name is authorized by itself, and the outcome says which were refused.
  if (request.caller === null) throw unauthorized(account)
  const target = { account, projectId: projectIdOf(account) }
  const format = listingFormat(request, undefined)
  const items = await namesIn(request)
  return sendDeletes(core, target, request, reply, { format, items })
}

export async function deleteWithSegments(
  core: Core,
  target: ObjectTarget,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const items = await segmentsFirst(core, target, request)
  return sendDeletes(core, target, request, reply, { format: outcomeFormat(request), items })
}

function sendDeletes(
  core: Core,
  target: Account,
  request: FastifyRequest,
  reply: FastifyReply,
  { format, items }: { format: ListingFormat; items: readonly Item[] | SwiftError },
): FastifyReply {
  const work = (async () => {
    const outcome = await outcomeOf(core, target, request, items)
    return outcomeBody(format, 'delete', outcome)
  })()
  return reply.code(200).type(`${format}; charset=utf-8`).send(withHeartbeat(work))
}

/** Does not reject. */
async function outcomeOf(core: Core, target: Account, request: FastifyRequest, items: readonly Item[] | SwiftError) {
  const deletes = new Deletes(core, target, request)
  let refusal = items instanceof SwiftError ? items : undefined
  if (!(items instanceof SwiftError)) {
    // Manifests after their segments, so that none is left that nothing names; containers last, because they must be empty.
    for (const stage of [0, 1, 2]) await deletes.all(items.filter((item) => stageOf(item) === stage))
    refusal = deletes.refusal
  }
  const fields = {
    'Number Deleted': deletes.deleted,
    'Number Not Found': deletes.notFound,
    'Response Status': statusLine(refusal?.status ?? 200),
    'Response Body': refusal === undefined ? '' : (refusal.text ?? statusText(refusal.status)),
  }
  return { fields, errors: deletes.errors }
}

function stageOf(item: Item): number {
  if ('status' in item) return 0
  if (item.object === undefined) return 2
  return item.manifest ? 1 : 0
}

class Deletes {
  readonly #core: Core
  readonly #target: Account
  readonly #request: FastifyRequest
  readonly errors: [string, string][] = []
  deleted = 0
  notFound = 0
  #failedInside = false

  constructor(core: Core, target: Account, request: FastifyRequest) {
    this.#core = core
    this.#target = target
    this.#request = request
  }

  /** undefined: all went well. */
  get refusal(): SwiftError | undefined {
    if (this.errors.length >= limits.failedDeletes) return new SwiftError(400, 'Max delete failures exceeded')
    if (this.errors.length > 0) return new SwiftError(this.#failedInside ? 502 : 400, '')
    return this.deleted + this.notFound > 0 ? undefined : new SwiftError(400, 'Invalid bulk delete.')
  }

  /** Stops after too many failures. Does not reject. */
  async all(items: readonly Item[]): Promise<void> {
    let next = 0
    const worker = async () => {
      for (let item = items[next++]; item !== undefined; item = items[next++]) {
        if (this.errors.length >= limits.failedDeletes) return
        await this.#one(item)
      }
    }
    await Promise.all(Array.from({ length: deletesAtOnce }, worker))
  }

  async #one(item: Item): Promise<void> {
    if ('status' in item) {
      if (item.status === 404) this.notFound++
      else this.errors.push([quotedName(item.name), item.text])
      return
    }
    try {
      const { projectId, account } = this.#target
      const ref = { projectId, container: item.container }
      const path = { account, container: item.container, object: item.object }
      const caller = await callerAt(this.#core, this.#request, path, item.object === undefined ? 'owner' : 'write')
      if (item.object === undefined) await this.#core.containers.delete(caller, ref)
      else await this.#core.objects.delete(caller, { ...ref, object: item.object })
      this.deleted++
    } catch (error) {
      const { status } = error instanceof SwiftError ? error : describeError(error, this.#request)
      if (status === 404) this.notFound++
      else {
        if (status >= 500) this.#failedInside = true
        this.errors.push([quotedName(item.name), statusLine(status)])
      }
    }
  }
}

/** The percent-encoded names in the body, one a line. An error is what the answer reports. */
async function namesIn(request: FastifyRequest): Promise<Item[] | SwiftError> {
  const type = request.headers['content-type']
  if (type !== undefined && type !== '' && !type.startsWith('text/plain')) return new SwiftError(406)
  if (contentLength(request) === undefined && request.headers['transfer-encoding'] === undefined) {
    return new SwiftError(411)
  }
  let body: Buffer
  try {
    body = await readBody(request, limits.bulkDeleteBytes)
  } catch (error) {
    if (error instanceof BodyTooLarge) return new SwiftError(413, `Maximum body: ${limits.bulkDeleteBytes} bytes`)
    throw error
  }
  const lines = body
    .toString('latin1')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  if (lines.length > limits.bulkDeletes) {
    return new SwiftError(413, `Maximum Bulk Deletes: ${limits.bulkDeletes} per request`)
  }
  const lengthMax = 6 * (limits.objectNameBytes + limits.containerNameBytes + 2)
  return lines.some((line) => line.length > lengthMax) ? new SwiftError(400, 'Invalid File Name') : lines.map(itemOf)
}

function itemOf(line: string): Item {
  let name: string
  try {
    name = decodeText(line)
  } catch {
    return { name: Buffer.from(line, 'latin1').toString('utf8'), status: 412, text: statusLine(412) }
  }
  const path = name.replace(/^\/+/, '')
  const slash = path.indexOf('/')
  const object = slash < 0 ? '' : path.slice(slash + 1)
  const container = slash < 0 ? path : path.slice(0, slash)
  if (container === '') return { name, status: 404, text: statusLine(404) }
  return { name, container, object: withoutTrailingSlashes(object) === '' ? undefined : object }
}

/** Each segment before the manifest that names it. */
async function segmentsFirst(core: Core, target: ObjectTarget, request: FastifyRequest): Promise<Item[] | SwiftError> {
  const items: Item[] = []
  const callerOf = callersOf(core, request, target)
  const visit = async (container: string, object: string, level: number): Promise<void> => {
    const name = `/${container}/${object}`
    if (items.length > limits.segmentsToDelete || level > limits.manifestLevels) {
      throw new SwiftError(400, 'Too many buffered slo segments to delete.')
    }
    try {
      const ref = { projectId: target.projectId, container, object }
      const content = await core.contents.head(await callerOf(ref, 'read'), ref, { follow: 'none', manifest: true })
      if (content.object.indirection?.kind !== 'static') {
        items.push({ name, status: 400, text: 'Not an SLO manifest' })
        return
      }
      for (const segment of await core.contents.manifest(content.object)) {
        if (isData(segment)) continue
        const path = segmentPath(segment)
        if (segment.sub_slo) await visit(path.container, path.object, level + 1)
        else items.push({ name: segment.name, ...path })
      }
      items.push({ name, container, object, manifest: true })
    } catch (error) {
      if (error instanceof SwiftError) throw error
      const { status } = describeError(error, request)
      items.push({ name, status, text: status === 404 ? 'SLO manifest not found' : statusLine(status) })
    }
  }
  try {
    await visit(target.container, target.object, 1)
    return items
  } catch (error) {
    if (error instanceof SwiftError) return error
    throw error
  }
}
