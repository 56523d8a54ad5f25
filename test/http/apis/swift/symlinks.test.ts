// Symbolic links: what is read through them, and what becomes of the link itself.

import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

const server = await startServer(t)
const { ask, storageUrl } = await server.login()
const base = new URL(storageUrl).pathname
await ask('box', { method: 'PUT' })
const put = await ask('box/ü target', { method: 'PUT', body: 'data', headers: { 'x-object-meta-a': '1' } })
const etag = String(put.headers.etag)
const target = 'box/%C3%BC%20target'
const link = (name: string, headers: Record<string, string>) => ask(`box/${name}`, { method: 'PUT', body: '', headers })

t.test('GET and HEAD of a link answer for its target, and say where that is', async (t) => {
  t.equal((await link('soft', { 'x-symlink-target': target })).status, 201)
  const headers = { 'content-location': `${base}/${target}`, 'x-object-meta-a': '1', etag }
  t.match(await ask('box/soft'), { status: 200, text: 'data', headers })
  t.match(await ask('box/soft', { method: 'HEAD' }), { headers: { ...headers, 'content-length': '4' } })
})

t.test('the link itself is read with symlink=get', async (t) => {
  const self = await ask('box/soft?symlink=get')
  t.match(self, {
    status: 200,
    text: '',
    headers: { 'x-symlink-target': target, 'content-type': 'application/symlink' },
  })
  const rows = (await ask('box?format=json&prefix=soft')).json
  t.match(rows, [{ name: 'soft', bytes: 0, symlink_path: `${base}/${target}` }])
})

t.test('a static link holds for one content of its target', async (t) => {
  await ask('box/fixed', { method: 'PUT', body: 'one' })
  const one = String((await ask('box/fixed', { method: 'HEAD' })).headers.etag)
  const hard = { 'x-symlink-target': 'box/fixed', 'x-symlink-target-etag': one }
  t.equal((await link('hard', hard)).status, 201)
  t.match(await ask('box/hard?symlink=get'), { headers: { ...hard, 'x-symlink-target-bytes': '3' } })
  t.equal((await ask('box/hard')).text, 'one')
  await ask('box/fixed', { method: 'PUT', body: 'two' })
  t.match(await ask('box/hard'), { status: 409, headers: { 'content-location': `${base}/box/fixed` } })
  t.match(await link('hard', hard), { status: 409, text: /does not match X-Symlink-Target-Etag/ })
  t.match(await link('hard', { ...hard, 'x-symlink-target': 'box/none' }), { status: 409, text: /does not exist/ })
})

t.test('links are followed twice, and no further', async (t) => {
  await link('second', { 'x-symlink-target': 'box/soft' })
  await link('third', { 'x-symlink-target': 'box/second' })
  t.equal((await ask('box/second')).text, 'data')
  t.match(await ask('box/third'), { status: 409, text: 'Too many levels of symbolic links, maximum allowed is 2' })
  await link('loop1', { 'x-symlink-target': 'box/loop2' })
  await link('loop2', { 'x-symlink-target': 'box/loop1' })
  t.equal((await ask('box/loop1')).status, 409)
})

t.test('a link whose target is missing is 404 with the place of the target', async (t) => {
  await link('dangling', { 'x-symlink-target': 'box/none' })
  t.match(await ask('box/dangling'), { status: 404, headers: { 'content-location': `${base}/box/none` } })
})

t.test('POST changes the link and redirects; DELETE deletes the link alone', async (t) => {
  const post = await ask('box/soft', { method: 'POST', headers: { 'x-object-meta-b': '2' } })
  t.match(post, { status: 307, headers: { location: `${base}/${target}` } })
  t.match(await ask('box/soft?symlink=get'), { headers: { 'x-object-meta-b': '2', 'x-symlink-target': target } })
  t.equal((await ask('box/soft')).headers['x-object-meta-b'], undefined)
  await ask('box/soft', { method: 'DELETE' })
  t.equal((await ask(target)).text, 'data')
})

t.test('a copy has the bytes of the target, or with symlink=get is a link too', async (t) => {
  await link('soft', { 'x-symlink-target': target })
  await ask('box/soft', { method: 'COPY', headers: { destination: 'box/bytes' } })
  t.match(await ask('box/bytes?symlink=get'), { text: 'data' })
  await ask('box/soft?symlink=get', { method: 'COPY', headers: { destination: 'box/link' } })
  t.match(await ask('box/link?symlink=get'), { text: '', headers: { 'x-symlink-target': target } })
})

t.test('targets of another form are refused', async (t) => {
  t.equal((await link('bad', { 'x-symlink-target': 'box' })).status, 412)
  t.equal((await link('bad', { 'x-symlink-target': '/box/o' })).status, 412)
  t.match(await link('bad', { 'x-symlink-target': 'box/bad' }), { status: 400, text: 'Symlink cannot target itself' })
  const headers = { 'x-symlink-target': target }
  t.equal((await ask('box/bad', { method: 'PUT', body: 'x', headers })).status, 400)
  t.equal((await ask(target, { method: 'POST', headers })).status, 400)
  t.equal((await ask('box/bad', { method: 'HEAD' })).status, 404)
})
