/** The form of block storage lists: `{"volumes": [...], "volumes_links": [{"rel": "next", ...}], "count": n}`. */

import type { FastifyRequest } from 'fastify'
import { badRequest } from './faults.js'
import type { ListParams } from './list_params.js'
import { since } from './microversion.js'
import type { ViewContext } from './views/context.js'

/**
 * A list is fetched with one row more than asked for (`limitToFetch`), which tells whether there is a next page.
 * `count` runs only when the client asked for the number of all matches, and may.
 */
export async function listAnswer<Item extends { id: string }>(
  request: FastifyRequest,
  list: {
    collection: string
    /** Of the list itself, below the version and project: `volumes/detail`. */
    path: string
    context: ViewContext
    params: ListParams<string>
    found: Item[]
    view: (item: Item) => Record<string, unknown>
    count: () => Promise<number>
  },
): Promise<Record<string, unknown>> {
  const { collection, path, context, params, found, view, count } = list
  if (params.withCount && context.microversion < since.count)
    throw badRequest('with_count needs microversion 3.45 or above.')
  const items = found.slice(0, params.limit)
  const last = items.at(-1)
  const answer: Record<string, unknown> = { [collection]: items.map(view) }
  if (found.length > items.length && last !== undefined)
    answer[`${collection}_links`] = [{ rel: 'next', href: nextUrl(request, context, path, last.id) }]
  if (params.withCount) answer['count'] = await count()
  return answer
}

export function limitToFetch(params: ListParams<string>): number {
  return params.limit + 1
}

function nextUrl(request: FastifyRequest, context: ViewContext, path: string, marker: string): string {
  const at = request.url.indexOf('?')
  const query = new URLSearchParams(at < 0 ? '' : request.url.slice(at + 1))
  // The marker says where to go on; the offset has been used up.
  query.delete('offset')
  query.set('marker', marker)
  const project = context.projectId === undefined ? '' : `/${context.projectId}`
  return `${context.endpoint}/v3${project}/${path}?${query}`
}
