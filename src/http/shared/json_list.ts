/** Lists in JSON, made and sent in pieces: `{"volumes": [...], "volumes_links": [...]}`. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SlicePace } from '../../core/lists/slices.js'
import { sendPieces } from './pieces.js'

export interface JsonList<Item> {
  /** The name of the array. */
  name: string
  pace: SlicePace
  /** Called once, in the first turn of the list. */
  slices: () => AsyncIterable<readonly Item[]> | Promise<AsyncIterable<readonly Item[]>>
  view: (item: Item) => unknown
  /** The members behind the array; `last`: the last item that is listed. */
  rest: (last: Item | undefined) => Record<string, unknown> | Promise<Record<string, unknown>>
}

/** Throws TooManyAnswers, and whatever hinders the first slice. */
export function sendJsonList<Item>(
  request: FastifyRequest,
  reply: FastifyReply,
  list: JsonList<Item>,
): Promise<FastifyReply> {
  return sendPieces(request, reply.type('application/json; charset=utf-8'), piecesOf(list))
}

async function* piecesOf<Item>(list: JsonList<Item>): AsyncGenerator<string, void, void> {
  let before = `{${JSON.stringify(list.name)}:[`
  let last: Item | undefined
  for await (const slice of await list.slices()) {
    if (slice.length === 0) {
      yield ''
      continue
    }
    const items = slice.map((item) => JSON.stringify(list.view(item))).join(',')
    list.pace.made(slice.length, items.length)
    last = slice.at(-1)
    yield before + items
    before = ','
  }
  const rest = JSON.stringify(await list.rest(last)).slice(1)
  yield `${last === undefined ? before : ''}]${rest === '}' ? '' : ','}${rest}`
}
