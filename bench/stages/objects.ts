/** PUT and GET of objects over HTTP, against nginx (which neither checksums nor syncs) and Swift. */

import { join } from 'node:path'
import { execa } from 'execa'
import { GiB, KiB, MiB, sizeInWords } from '../../src/lib/units.js'
import { curlGets, type ObjectStore, putLarge, remove, wrk } from '../load/http_load.js'
import type { Case, Contender, Length, Room, Sample, Stage, Target } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { startNginx, startSwift } from '../servers/object_peers.js'

interface Objects {
  /** undefined: no store but the speed of MD5 on one core. */
  store?: ObjectStore
  /** The names that large uploads write, again and again: the space of one run comes back with the next. */
  prefix: string
}

const small = 4 * KiB
const sizes = [small, MiB, 64 * MiB, GiB]
const getNames = 16

export const objectsStage: Stage<Objects> = {
  name: 'objects',
  title: 'Objects over HTTP (TCP loopback, durable PUT in Atoll)',
  cases: sizes.flatMap((bytes) => [1, 16].flatMap((clients) => [putCase(bytes, clients), getCase(bytes, clients)])),
  open: async (room, wanted) => {
    const contenders = [await openAtoll(room)]
    if (wanted('nginx')) {
      const nginx = await startNginx(join(room.dir, 'nginx'))
      contenders.push({
        name: 'nginx',
        role: 'peer',
        subject: { store: nginx, prefix: 'large-' },
        serverPid: () => nginx.pid,
        close: nginx.stop,
      })
    }
    if (wanted('swift')) {
      const swift = await startSwift(join(room.dir, 'swift'))
      if (swift)
        contenders.push({ name: 'swift', role: 'peer', subject: { store: swift, prefix: 'large-' }, close: swift.stop })
      else
        room.note(
          'swift is not measured: install swift-proxy, swift-account, swift-container and swift-object for that',
        )
    }
    if (wanted('openssl md5'))
      contenders.push({ name: 'openssl md5', role: 'ceiling', subject: { prefix: '' }, close: async () => {} })
    return contenders
  },
}

function putCase(bytes: number, clients: number): Case<Objects> {
  const large = bytes >= 64 * MiB
  const count = Math.max(clients, bytes === GiB ? 1 : 4)
  const names = (prefix: string) => Array.from({ length: count }, (_, index) => `${prefix}${index}`)
  return {
    ...words('put', bytes, clients),
    quick: bytes === small || (bytes === 64 * MiB && clients === 1),
    targets: putTargets(bytes, clients),
    ...(bytes === GiB && { rounds: 2 }),
    // MD5 is what bounds one upload; several go over several cores.
    without: large && clients === 1 ? [] : ['openssl md5'],
    run: async ({ store, prefix }, length) => {
      if (store === undefined) return md5Speed()
      if (!large)
        return perSecond(bytes, await wrk(store, { method: 'PUT', prefix: 'small-', bytes, clients, ...length }))
      return perSecond(bytes, await putLarge(store, { names: names(prefix), bytes, clients }))
    },
    tidy: async ({ store, prefix }) => {
      // 16 GiB of each contender at once are more than many a machine has.
      if (store !== undefined && bytes === GiB) await remove(store, names(prefix))
    },
  }
}

function putTargets(bytes: number, clients: number): Target[] {
  if (bytes === small) return clients === 16 ? [{ kind: 'value', atLeast: 5000 }] : []
  return bytes >= 64 * MiB && clients === 1 ? [{ kind: 'ratio', atLeast: 0.8, against: 'openssl md5' }] : []
}

function getCase(bytes: number, clients: number): Case<Objects> {
  return {
    ...words('get', bytes, clients),
    quick: bytes === MiB || (bytes === small && clients === 16),
    targets: bytes >= MiB ? [{ kind: 'ratio', atLeast: 0.8, against: 'nginx' }] : [],
    without: ['openssl md5'],
    ...(bytes === GiB && { rounds: 2 }),
    prepare: async ({ store }) => {
      if (store !== undefined) await haveObjects(store, bytes)
    },
    run: async ({ store }, length) => perSecond(bytes, await gets(store as ObjectStore, { bytes, clients, ...length })),
  }
}

function words(
  verb: 'put' | 'get',
  bytes: number,
  clients: number,
): Pick<Case<Objects>, 'name' | 'title' | 'unit' | 'better'> {
  return {
    name: `${verb}-${sizeInWords(bytes).replace(' ', '')}-c${clients}`,
    title: `${verb.toUpperCase()} ${sizeInWords(bytes)}, ${clients} client${clients > 1 ? 's' : ''}`,
    unit: bytes === small ? 'op/s' : 'MiB/s',
    better: 'more',
  }
}

function perSecond(bytes: number, { requests, seconds }: { requests: number; seconds: number }): Sample {
  const rate = requests / seconds
  return { value: bytes === small ? rate : (rate * bytes) / MiB, operations: requests }
}

const made = new Map<string, Promise<unknown>>()

/** Objects of this size to GET, made once in each store. */
async function haveObjects(store: ObjectStore, bytes: number): Promise<void> {
  const names = Array.from({ length: bytes === small ? getNames : 1 }, (_, index) => `get-${bytes}-${index}`)
  const key = `${store.url}${bytes}`
  if (!made.has(key)) made.set(key, putLarge(store, { names, bytes, clients: 1 }))
  await made.get(key)
}

function gets(store: ObjectStore, { bytes, clients, seconds }: { bytes: number; clients: number } & Length) {
  const prefix = `get-${bytes}-`
  if (bytes === small) return wrk(store, { method: 'GET', prefix, names: getNames, bytes: 0, clients, seconds })
  // As much as takes about so long at 1 GiB/s.
  const requests = Math.max(clients, Math.ceil((seconds * GiB) / bytes))
  return curlGets(store, { name: `${prefix}0`, clients, requests })
}

async function md5Speed(): Promise<Sample> {
  const { stdout } = await execa('openssl', ['speed', '-seconds', '1', '-bytes', String(MiB), 'md5'])
  const found = /^md5\s+([\d.]+)k/im.exec(stdout)?.[1]
  if (found === undefined) throw new Error(`openssl speed said:\n${stdout}`)
  return { value: (Number(found) * 1000) / MiB }
}

async function openAtoll(room: Room): Promise<Contender<Objects>> {
  const { api, url, pid, stop } = await startAtoll(join(room.dir, 'atoll'))
  await api.expect(201, 'PUT', api.object('bench'))
  const store = { url: `${url}${api.object('bench')}/`, headers: { 'x-auth-token': api.token } }
  return { name: 'atoll', role: 'atoll', subject: { store, prefix: 'large-' }, serverPid: () => pid, close: stop }
}
