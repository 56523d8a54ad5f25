// Images are made of what is stored already, and patched, while the server is killed: each is there whole, or not at all.

import t from 'tap'
import { Api } from '../../testkit/api.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(300_000)

const kills = Number(process.env.ATOLL_KILLS ?? 12)
const lanes = 8
const json = { 'content-type': 'application/json' }
const patchType = { 'content-type': 'application/openstack-images-v2.1-json-patch' }

interface Image {
  id: string
  name: string
  status: string
  min_disk: number
  tags: string[]
}

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
await api.expect(201, 'PUT', api.object('c'))
await api.expect(201, 'PUT', api.object('c/o'), { body: Buffer.from('a disk') })
const volume = await api.createVolume()
const locations = [`swift://AUTH_${api.projectId}/c/o`, `cinder://volumes/${volume}`]

/** What was answered: the image's name, and its state. */
const answered = new Map<string, 'queued' | 'active'>()

async function images(): Promise<Image[]> {
  const found: Image[] = []
  for (let path = '/image/v2/images?limit=200'; path !== ''; ) {
    const page = (await (await api.expect(200, 'GET', path)).json()) as { images: Image[]; next?: string }
    found.push(...page.images)
    path = page.next === undefined ? '' : `/image${page.next}`
  }
  return found
}

/** Makes images until the server is gone: with their data, or queued and then patched. Counts what is answered. */
async function load(lane: string, count: () => void): Promise<void> {
  const raw = { disk_format: 'raw', container_format: 'bare' }
  try {
    for (let n = 0; ; n++) {
      const url = locations[n % locations.length]
      const made = { ...raw, name: `made-${lane}-${n}`, locations: [{ url, metadata: {} }], protected: true }
      await api.expect(201, 'POST', '/image/v2/images', { body: Buffer.from(JSON.stringify(made)), headers: json })
      answered.set(made.name, 'active')
      count()
      const image = { ...raw, name: `queued-${lane}-${n}` }
      const body = Buffer.from(JSON.stringify(image))
      const { id } = (await (
        await api.expect(201, 'POST', '/image/v2/images', { body, headers: json })
      ).json()) as Image
      answered.set(image.name, 'queued')
      const patch = [
        { op: 'replace', path: '/name', value: `patched-${lane}-${n}` },
        { op: 'replace', path: '/min_disk', value: 7 },
        { op: 'replace', path: '/tags', value: ['patched'] },
        { op: 'add', path: '/locations/-', value: { url, metadata: {} } },
      ]
      answered.delete(image.name) // may be there under either name from now on
      const changed = Buffer.from(JSON.stringify(patch))
      await api.expect(200, 'PATCH', `/image/v2/images/${id}`, { body: changed, headers: patchType })
      answered.set(`patched-${lane}-${n}`, 'active')
      count()
    }
  } catch (error) {
    // The server was killed: fetch says so by a TypeError. An answer that is not right is an Error.
    if (!(error instanceof TypeError)) throw error
  }
}

t.test(`${kills} kills while images are made and patched: each is whole or not there`, async (t) => {
  for (let round = 0; round < kills; round++) {
    let answers = 0
    const wanted = 5 + ((round * 7) % 23)
    let enough = () => {}
    const reached = new Promise<void>((resolve) => {
      enough = resolve
    })
    const count = () => {
      answers += 1
      if (answers === wanted) enough()
    }
    const running = Array.from({ length: lanes }, (_, lane) => load(`${round}-${lane}`, count))
    // Whoever fails before the kill is told at once.
    await Promise.race([reached, Promise.all(running)])
    await server.kill()
    await Promise.all(running)
    await server.start()
    const found = await images()
    const torn = found.filter(({ name, status, min_disk, tags }) => {
      const patched = name.startsWith('patched-')
      const whole = status === (name.startsWith('queued-') ? 'queued' : 'active')
      return !whole || (min_disk === 7) !== patched || tags.includes('patched') !== patched
    })
    t.same(torn, [], `round ${round}: half of an image`)
    const state = new Map(found.map(({ name, status }) => [name, status]))
    const lost = [...answered].filter(([name, status]) => state.get(name) !== status)
    t.same(lost, [], `round ${round}: what was answered`)
  }
  await server.stop()
  const { exitCode, all } = await server.check()
  t.equal(exitCode, 0, all)
})
