import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Session } from '../../../testkit/server.js'
import { startServer } from '../../../testkit/server.js'
import { attach, createSnapshot, createVolume } from '../apis/cinder/support.js'

const server = await startServer(t, { nbd: true })
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))
const admin = await server.login()

async function createImage(session: Session, image: Record<string, unknown> = {}): Promise<string> {
  const answer = await session.ask('/image/v2/images', { method: 'POST', json: { name: 'secret', ...image } })
  return answer.json.id
}

const volume = await createVolume(alice)
const lists = [
  { path: '/image/v2/images', id: await createImage(alice, { visibility: 'private' }), sort: 'name' },
  { path: '/volume/v3/volumes', id: volume.id, sort: 'size' },
  { path: '/volume/v3/volumes/detail', id: volume.id, sort: 'name' },
  { path: '/volume/v3/snapshots', id: (await createSnapshot(alice, volume.id)).id, sort: 'size' },
  { path: '/volume/v3/snapshots/detail', id: (await createSnapshot(alice, volume.id)).id, sort: 'name' },
  { path: '/volume/v3/attachments', id: (await attach(alice, volume.id)).id, sort: 'status' },
]

for (const { path, id, sort } of lists) {
  t.test(`${path}: the marker of another project gets the answer of one that does not exist`, async (t) => {
    const ask = async (session: Session, marker: string) => {
      const headers = { 'openstack-api-version': 'volume 3.70', accept: 'application/json' }
      const query = `?marker=${marker}&sort_key=${sort}&sort_dir=asc`
      const { status, text } = await session.ask(path + query, { headers })
      return { status, text: text.replaceAll(marker, 'ID') }
    }
    const unknown = await ask(bob, randomUUID())
    t.ok([400, 404].includes(unknown.status), `${unknown.status}`)
    t.same(await ask(bob, id), unknown)
    for (const session of [alice, admin]) t.equal((await ask(session, id)).status, 200)
  })
}

t.test('an image that is seen is a marker, whether the list shows it or not', async (t) => {
  const id = await createImage(alice, { visibility: 'community' })
  t.equal((await bob.ask(`/image/v2/images?marker=${id}`)).status, 200)
})
