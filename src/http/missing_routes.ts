/** What is at no route: 404 when there is nothing at the path, 405 when there is something, for other methods. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { renderError } from './error_forms.js'
import { describeError, MethodNotServed, NoSuchPath } from './shared/errors.js'

interface Place {
  /** Of the route's URL, between slashes; `:name` stands for anything, a `*` at the end for any number of them. */
  segments: string[]
  methods: Set<string>
}

/** To be called before any route is added; answers for every API, in the form of the one that the path belongs to. */
export function answerMissingRoutes(app: FastifyInstance): void {
  const places = new Map<string, Place>()
  app.addHook('onRoute', ({ url, method }) => {
    const place = places.get(url) ?? { segments: segmentsOf(url), methods: new Set() }
    places.set(url, place)
    for (const name of [method].flat()) place.methods.add(name)
  })
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsAt(places.values(), request.url)
    if (allowed.length === 0) throw new NoSuchPath()
    void reply.header('allow', allowed.join(', '))
    throw new MethodNotServed(request.method)
  })
}

/** The error handler of what belongs to no API's plugin. */
export function sendErrorByPath(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const described = describeError(error, request)
  const { contentType, body } = renderError(described, request.originalUrl, request.headers.accept)
  return reply.code(described.status).type(contentType).send(body)
}

function methodsAt(places: Iterable<Place>, url: string): string[] {
  const query = url.indexOf('?')
  const asked = segmentsOf(query < 0 ? url : url.slice(0, query))
  const methods = new Set<string>()
  for (const place of places) {
    if (matches(place.segments, asked)) for (const method of place.methods) methods.add(method)
  }
  return [...methods].sort()
}

function matches(segments: readonly string[], asked: readonly string[]): boolean {
  const open = segments.at(-1) === '*'
  const fixed = open ? segments.slice(0, -1) : segments
  if (open ? asked.length < segments.length : asked.length !== segments.length) return false
  return fixed.every((segment, index) => segment.startsWith(':') || segment === asked[index])
}

/** A slash at the end makes no difference, as to the router. */
function segmentsOf(path: string): string[] {
  const segments = path.split('/').slice(1)
  if (segments.at(-1) === '') segments.pop()
  return segments
}
