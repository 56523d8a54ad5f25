/** Requests that match no route: 405 if the path serves other methods, 404 if it serves none. */

import type { FastifyInstance } from 'fastify'
import { MethodNotServed, NoSuchPath } from './errors.js'

interface Place {
  /** Of the route's URL, between slashes; `:name` matches any one, a `*` at the end any number of them. */
  segments: string[]
  methods: Set<string>
}

/** Handles such requests for all APIs. Must be called before any route is added. */
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

/** A slash at the end is ignored, as by the router. */
function segmentsOf(path: string): string[] {
  const segments = path.split('/').slice(1)
  if (segments.at(-1) === '') segments.pop()
  return segments
}
