import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { call, createSnapshot, createVolume } from './support.js'

const server = await startServer(t)
const alice = await server.login(await server.createUser({ name: 'alice' }))
const volume = await createVolume(alice)
const snapshot = await createSnapshot(alice, volume.id)

for (const path of [`/volumes/${volume.id}/metadata`, `/snapshots/${snapshot.id}/metadata`]) {
  const what = path.split('/')[1]

  t.test(`${what}: metadata is added to, replaced, and read by key`, async (t) => {
    const answer = await call(alice, 'PUT', path, { json: { metadata: { a: '1', b: '2' } } })
    t.equal(answer.status, 200)
    t.same(answer.json, { metadata: { a: '1', b: '2' } })
    t.same((await call(alice, 'POST', path, { json: { metadata: { b: '3', c: '4' } } })).json.metadata, {
      a: '1',
      b: '3',
      c: '4',
    })
    t.same((await call(alice, 'GET', `${path}/b`)).json, { meta: { b: '3' } })
    t.same((await call(alice, 'PUT', `${path}/b`, { json: { meta: { b: '5' } } })).json, { meta: { b: '5' } })
    t.equal((await call(alice, 'DELETE', `${path}/a`)).status, 200)
    t.same((await call(alice, 'GET', path)).json, { metadata: { b: '5', c: '4' } })
  })

  t.test(`${what}: a key that is not there is 404, and a body that does not fit it 400`, async (t) => {
    t.equal((await call(alice, 'GET', `${path}/nothing`)).status, 404)
    t.equal((await call(alice, 'GET', `${path}/constructor`)).status, 404)
    t.equal((await call(alice, 'DELETE', `${path}/nothing`)).status, 404)
    t.equal((await call(alice, 'PUT', `${path}/x`, { json: { meta: { y: '1' } } })).status, 400)
    t.equal((await call(alice, 'PUT', `${path}/x`, { json: { meta: { x: '1', y: '1' } } })).status, 400)
    t.equal((await call(alice, 'PUT', path, { json: { metadata: { x: 7 } } })).status, 400)
    t.equal((await call(alice, 'PUT', path, { json: { metadata: { ['k'.repeat(256)]: 'v' } } })).status, 400)
    t.equal((await call(alice, 'PUT', path, { json: {} })).status, 400)
  })

  t.test(`${what}: from 3.15 on a change may be bound to what the client has seen`, async (t) => {
    t.notOk((await call(alice, 'GET', path)).headers.etag)
    const { etag } = (await call(alice, 'GET', path, { minor: 15 })).headers
    t.ok(etag)
    const bound = (value: string) =>
      call(alice, 'PUT', path, { minor: 15, headers: { 'if-match': etag }, json: { metadata: { v: value } } })
    t.equal((await bound('first')).status, 200)
    t.equal((await bound('second')).status, 412)
    t.same((await call(alice, 'GET', path)).json.metadata, { v: 'first' })
  })

  t.test(`${what}: of changes made at once none is lost`, async (t) => {
    await call(alice, 'PUT', path, { json: { metadata: {} } })
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => call(alice, 'POST', path, { json: { metadata: { [key]: 'v' } } })))
    t.same(Object.keys((await call(alice, 'GET', path)).json.metadata).sort(), keys.sort())
  })
}
