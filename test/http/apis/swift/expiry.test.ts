// Objects that expire.

import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

const server = await startServer(t)
const { ask } = await server.login()
await ask('box', { method: 'PUT' })
const later = Math.floor(Date.now() / 1000) + 1000

/** As if the time of every object of the container had come. */
async function expire() {
  await server.core.catalog.transaction(async ({ db }) => {
    await db
      .updateTable('objects')
      .set({ expires_at: Date.now() - 1 })
      .where('expires_at', 'is not', null)
      .execute()
  })
}

t.test('X-Delete-At and X-Delete-After are kept, shown, copied and replaced', async (t) => {
  await ask('box/at', { method: 'PUT', body: 'x', headers: { 'x-delete-at': String(later) } })
  t.equal((await ask('box/at', { method: 'HEAD' })).headers['x-delete-at'], String(later))
  await ask('box/at', { method: 'COPY', headers: { destination: 'box/copy' } })
  t.equal((await ask('box/copy')).headers['x-delete-at'], String(later))
  await ask('box/at', { method: 'COPY', headers: { destination: 'box/fresh', 'x-fresh-metadata': 'true' } })
  t.equal((await ask('box/fresh')).headers['x-delete-at'], undefined)
  await ask('box/at', { method: 'POST', headers: { 'x-delete-after': '5000' } })
  t.ok(Number((await ask('box/at')).headers['x-delete-at']) > later)
  await ask('box/at', { method: 'POST', headers: { 'x-remove-delete-at': 'true' } })
  t.equal((await ask('box/at')).headers['x-delete-at'], undefined)
})

t.test('a time that is no whole number, or in the past, is 400', async (t) => {
  for (const [headers, text] of [
    [{ 'x-delete-at': 'soon' }, 'Non-integer X-Delete-At'],
    [{ 'x-delete-at': '0' }, 'X-Delete-At in past'],
    [{ 'x-delete-after': '1.5' }, 'Non-integer X-Delete-After'],
    [{ 'x-delete-after': '-1' }, 'X-Delete-After in past'],
  ] as const) {
    t.match(await ask('box/bad', { method: 'PUT', body: 'x', headers }), { status: 400, text })
  }
})

t.test('an expired object is gone at once, its name is free, and its space and counts follow', async (t) => {
  await ask('gone', { method: 'PUT' })
  const headers = { 'x-delete-at': String(later) }
  for (const name of ['a', 'b']) await ask(`gone/${name}`, { method: 'PUT', body: 'data', headers })
  await ask('gone/c', { method: 'PUT', body: 'data' })
  await expire()
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) t.equal((await ask('gone/a', { method })).status, 404, method)
  t.equal((await ask('gone')).text, 'c\n')
  t.equal((await ask('gone/b', { method: 'PUT', body: 'new', headers: { 'if-none-match': '*' } })).status, 201)
  await server.core.expiry.run()
  t.match((await ask('gone', { method: 'HEAD' })).headers, {
    'x-container-object-count': '2',
    'x-container-bytes-used': '7',
  })
  t.equal((await ask('gone/b')).text, 'new')
})

t.test('a DELETE with X-If-Delete-At deletes only what expires then', async (t) => {
  await ask('box/if', { method: 'PUT', body: 'x', headers: { 'x-delete-at': String(later) } })
  const deleted = async (at: string) =>
    (await ask('box/if', { method: 'DELETE', headers: { 'x-if-delete-at': at } })).status
  t.equal(await deleted('never'), 400)
  t.equal(await deleted(String(later + 1)), 412)
  t.equal(await deleted(String(later)), 204)
})
