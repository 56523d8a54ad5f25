import { randomBytes } from 'node:crypto'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

t.test('copies', async (t) => {
  const server = await startServer(t)
  const { ask, storageUrl } = await server.login()
  await ask('from', { method: 'PUT' })
  await ask('to', { method: 'PUT' })
  const headers = { 'x-object-meta-a': '1', 'content-type': 'x/y', 'content-encoding': 'gzip' }
  await ask('from/o', { method: 'PUT', body: 'data', headers })

  t.test('COPY names its destination, with or without a leading slash', async (t) => {
    for (const destination of ['/to/p', 'to/p%20q']) {
      const copied = await ask('from/o', { method: 'COPY', headers: { destination } })
      t.equal(copied.status, 201)
      t.match(copied.headers, {
        'x-copied-from': 'from/o',
        'x-copied-from-account': storageUrl.split('/').at(-1),
        'x-copied-from-last-modified': /GMT$/,
        'x-object-meta-a': '1',
      })
    }
    t.match(await ask('to/p%20q'), { text: 'data', headers })
  })

  t.test('PUT with X-Copy-From names its source', async (t) => {
    const copied = await ask('to/q', { method: 'PUT', headers: { 'x-copy-from': '/from/o', 'content-length': '0' } })
    t.equal(copied.status, 201)
    t.match(await ask('to/q'), { text: 'data', headers })
  })

  t.test('new metadata is added to the source’s, or replaces it when it is to be fresh', async (t) => {
    const more = { destination: 'to/m', 'x-object-meta-b': '2' }
    await ask('from/o', { method: 'COPY', headers: more })
    t.match((await ask('to/m')).headers, { 'x-object-meta-a': '1', 'x-object-meta-b': '2' })
    await ask('from/o', { method: 'COPY', headers: { ...more, 'x-fresh-metadata': 'true' } })
    const fresh = (await ask('to/m')).headers
    t.equal(fresh['x-object-meta-a'], undefined)
    t.equal(fresh['x-object-meta-b'], '2')
  })

  t.test('an object copied onto itself changes its metadata', async (t) => {
    await ask('from/self', { method: 'PUT', body: 'same', headers: { 'x-object-meta-a': '1' } })
    await ask('from/self', { method: 'COPY', headers: { destination: 'from/self', 'x-object-meta-b': '2' } })
    t.match(await ask('from/self'), { text: 'same', headers: { 'x-object-meta-a': '1', 'x-object-meta-b': '2' } })
  })

  t.test('the limits of metadata hold for what the source’s and the new add up to', async (t) => {
    const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`x-object-meta-n${i}`, 'v']))
    await ask('from/many', { method: 'PUT', body: 'x', headers: many })
    const copy = (more: Record<string, string>) =>
      ask('from/many', { method: 'COPY', headers: { destination: 'to/many', ...more } })
    t.match(await copy({ 'x-object-meta-more': 'v' }), { status: 400, text: 'Too many metadata items; max 90' })
    t.equal((await ask('to/many', { method: 'HEAD' })).status, 404)
    t.equal((await copy({ 'x-object-meta-n0': 'w' })).status, 201)
    t.equal((await copy({ 'x-object-meta-more': 'v', 'x-fresh-metadata': 'true' })).status, 201)
  })

  t.test('a copy outlives its source, and the source its copy', async (t) => {
    await ask('from/first', { method: 'PUT', body: 'bytes' })
    await ask('from/first', { method: 'COPY', headers: { destination: 'to/second' } })
    await ask('from/first', { method: 'DELETE' })
    t.equal((await ask('to/second')).text, 'bytes')
    await ask('to/second', { method: 'COPY', headers: { destination: 'to/third' } })
    await ask('to/second', { method: 'PUT', body: 'other' })
    t.equal((await ask('to/third')).text, 'bytes')
  })

  t.test('a copy writes no data', async (t) => {
    await ask('from/big', { method: 'PUT', body: randomBytes(5 * 1024 * 1024) })
    const before = server.counters()
    t.equal((await ask('from/big', { method: 'COPY', headers: { destination: 'to/big' } })).status, 201)
    const after = server.counters()
    t.equal(after.contentBytesWritten, before.contentBytesWritten)
    t.equal(after.bytesWritten, before.bytesWritten)
  })

  t.test('refusals', async (t) => {
    const copy = (path: string, copyHeaders: Record<string, string>) =>
      ask(path, { method: 'COPY', headers: copyHeaders })
    t.match(await copy('from/o', {}), { status: 412, text: 'Destination header required' })
    t.match(await copy('from/o', { destination: 'to' }), { status: 412, text: /must be of the form/ })
    t.equal((await copy('from/absent', { destination: 'to/x' })).status, 404)
    t.equal((await copy('from/o', { destination: 'absent/x' })).status, 404)
    t.equal((await copy('from/o', { destination: 'to/x', 'if-match': 'other' })).status, 412)
    t.equal((await copy('from/o', { destination: 'to/q', 'if-none-match': '*' })).status, 412)
    const withBody = await ask('to/x', { method: 'PUT', body: 'x', headers: { 'x-copy-from': 'from/o' } })
    t.match(withBody, { status: 400, text: 'Copy requests require a zero byte body' })
    t.equal((await ask('to/x', { method: 'HEAD' })).status, 404)
  })
})
