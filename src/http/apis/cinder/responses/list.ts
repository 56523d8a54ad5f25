/** The form of block storage lists: `{"volumes": [...], "volumes_links": [{"rel": "next", ...}], "count": n}`. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PageOf } from '../../../../core/lists/pages.js'
import { SlicePace } from '../../../../core/lists/slices.js'
import { sendJsonList } from '../../../shared/json_list.js'
import type { ViewContext } from './context.js'

/** Sends a page of a list. `count`, the number of all matches, is called only for `withCount`. */
export function sendCinderList<Item extends { id: string }>(
  request: FastifyRequest,
  reply: FastifyReply,
  list: {
    collection: string
    /** Of the list itself, below the version and project: `volumes/detail`. */
    path: string
    context: ViewContext
    withCount: boolean
    page: (pace: SlicePace) => Promise<PageOf<Item>>
    view: (item: Item) => Record<string, unknown>
    count: () => Promise<number>
  },
): Promise<FastifyReply> {
  const { collection, path, context, withCount, view } = list
  const pace = new SlicePace()
  let more = false
  return sendJsonList(request, reply, {
    name: collection,
    pace,
    slices: async () => {
      const page = await list.page(pace)
      more = page.more
      return page.slices
    },
    view,
    rest: async (last) => ({
      ...(more && last !== undefined
        ? { [`${collection}_links`]: [{ rel: 'next', href: nextUrl(request, context, path, last.id) }] }
        : {}),
      ...(withCount ? { count: await list.count() } : {}),
    }),
  })
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
