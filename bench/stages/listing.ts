/** A container of a million objects, listed from its start to its end. Making it takes most of the time. */

import { join } from 'node:path'
import { asError } from '../../src/lib/errors.js'
import { type ObjectStore, wrk } from '../load/http_load.js'
import type { Contender, Room, Stage } from '../plan.js'
import { formatNumber } from '../report/results.js'
import { startAtoll } from '../servers/atoll.js'
import { startSwift } from '../servers/object_peers.js'

const objectCount = 1_000_000
const pageNames = 10_000
/** Who needs longer to take a million objects is not waited for. */
const makingSecondsMax = 1200

export const listingStage: Stage<ObjectStore> = {
  name: 'listing',
  title: 'A listing of 1,000,000 objects (pages of 10,000 names)',
  cases: [
    {
      name: 'list-1000000',
      title: 'from the first name to the last',
      unit: 'ms',
      better: 'less',
      rounds: 3,
      run: async (store) => {
        const begin = performance.now()
        const pages = await listAll(store)
        return {
          value: performance.now() - begin,
          operations: pages.length,
          more: { 'longest page ms': Math.max(...pages) },
        }
      },
    },
  ],
  open: async (room, wanted) => {
    const atoll = await openAtoll(room)
    const swift = wanted('swift') ? await startSwift(join(room.dir, 'swift')) : undefined
    const peers: Contender<ObjectStore>[] = swift
      ? [{ name: 'swift', role: 'peer', subject: swift, close: swift.stop }]
      : []
    const ready: Contender<ObjectStore>[] = []
    for (const one of [atoll, ...peers]) {
      try {
        const { perSecond, complete } = await makeObjects(one.subject)
        const rate = `${one.name} takes ${formatNumber(perSecond)} objects without content per second from 16 clients`
        room.note(complete ? rate : `${rate}: a million would take too long, it is left out`)
        if (complete) ready.push(one)
        else await one.close()
      } catch (error) {
        room.note(`${one.name} is left out: ${asError(error).message}`)
        if (one.role === 'atoll') process.exitCode = 1
        await one.close()
      }
    }
    return ready
  },
}

async function openAtoll(room: Room): Promise<Contender<ObjectStore>> {
  const { api, url, pid, stop } = await startAtoll(join(room.dir, 'atoll'))
  await api.expect(201, 'PUT', api.object('bench'))
  const store = { url: `${url}${api.object('bench')}/`, headers: { 'x-auth-token': api.token } }
  return { name: 'atoll', role: 'atoll', subject: store, serverPid: () => pid, close: stop }
}

/** Objects without content: it is names that are listed. Gives up where the first of them show that it takes too long. */
async function makeObjects(store: ObjectStore): Promise<{ perSecond: number; complete: boolean }> {
  let count = 0
  let spentS = 0
  while (count < objectCount) {
    const load = { method: 'PUT', prefix: 'object-', bytes: 0, clients: 16, seconds: 30 } as const
    const { requests, seconds } = await wrk(store, load)
    count += requests
    spentS += seconds
    if ((objectCount / count) * spentS > makingSecondsMax) break
  }
  return { perSecond: count / spentS, complete: count >= objectCount }
}

/** Milliseconds of each page. Throws when names are missing. */
async function listAll({ url, headers }: ObjectStore): Promise<number[]> {
  const pages: number[] = []
  let marker = ''
  let count = 0
  for (;;) {
    const begin = performance.now()
    const query = new URLSearchParams({ limit: String(pageNames), marker })
    const answer = await fetch(`${url.slice(0, -1)}?${query}`, { headers })
    const names = (await answer.text()).split('\n').filter(Boolean)
    if (!answer.ok) throw new Error(`a listing answers ${answer.status}`)
    if (names.length === 0) break
    pages.push(performance.now() - begin)
    count += names.length
    marker = names.at(-1) ?? ''
  }
  if (count < objectCount) throw new Error(`the listing has ${count} of ${objectCount} names`)
  return pages
}
