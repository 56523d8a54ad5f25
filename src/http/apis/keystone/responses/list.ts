/** Lists of the Identity API; none is paged. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { SlicePace } from '../../../../core/lists/slices.js'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { sendJsonList } from '../../../shared/json_list.js'

/** `{<name>: [...], links}` */
export function listOf<Item>(name: string, items: Item[], request: FastifyRequest, urls: UrlSettings) {
  return { [name]: items, ...listLinks(request, urls) }
}

/** Sends a list of any length; only bodies that `isWanted` accepts. */
export function sendListOf<Item, Body extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  urls: UrlSettings,
  list: {
    name: string
    isWanted?: (body: object) => boolean
    slices: (pace: SlicePace) => AsyncIterable<Item[]>
    view: (item: Item) => Body
  },
): Promise<FastifyReply> {
  const { name, isWanted = () => true, slices, view } = list
  const pace = new SlicePace()
  const rest = () => listLinks(request, urls)
  async function* bodies(): AsyncGenerator<Body[], void, void> {
    for await (const slice of slices(pace)) yield slice.map(view).filter(isWanted)
  }
  return sendJsonList(request, reply, { name, pace, slices: bodies, view: (body) => body, rest })
}

function listLinks(request: FastifyRequest, urls: UrlSettings) {
  const [path] = request.originalUrl.split('?')
  return { links: { self: `${baseUrl(request, urls)}${path}`, previous: null, next: null } }
}
