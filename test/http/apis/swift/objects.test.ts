import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

const md5 = (bytes: string | Buffer) => createHash('md5').update(bytes).digest('hex')

t.test('objects', async (t) => {
  const server = await startServer(t)
  const admin = await server.login()
  const { ask } = admin
  await ask('box', { method: 'PUT' })

  t.test('what is put comes back, with its MD5, length, type and times', async (t) => {
    const put = await ask('box/a.txt', { method: 'PUT', body: 'hello', headers: { 'x-object-meta-mtime': '12.5' } })
    t.equal(put.status, 201)
    t.equal(put.headers.etag, md5('hello'))
    t.match(put.headers['last-modified'], /GMT$/)
    t.match(put.headers['x-trans-id'], /^tx[0-9a-f]{21}-[0-9a-f]{10}$/)
    t.equal(put.headers['x-openstack-request-id'], put.headers['x-trans-id'])
    const got = await ask('box/a.txt')
    t.equal(got.status, 200)
    t.equal(got.text, 'hello')
    t.match(got.headers, {
      etag: md5('hello'),
      'content-length': '5',
      'content-type': 'text/plain',
      'accept-ranges': 'bytes',
      'x-object-meta-mtime': '12.5',
      'x-timestamp': /^\d{10}\.\d{5}$/,
    })
  })

  t.test('HEAD says what GET would, with the exact length and no body', async (t) => {
    const head = await ask('box/a.txt', { method: 'HEAD' })
    const get = await ask('box/a.txt')
    t.equal(head.status, 200)
    t.equal(head.body.length, 0)
    for (const name of [
      'content-length',
      'content-type',
      'etag',
      'last-modified',
      'x-timestamp',
      'x-object-meta-mtime',
    ]) {
      t.equal(head.headers[name], get.headers[name], name)
    }
  })

  t.test('an empty object is an object', async (t) => {
    t.equal((await ask('box/empty', { method: 'PUT', body: '' })).status, 201)
    const got = await ask('box/empty')
    t.match(got, { status: 200, text: '', headers: { 'content-length': '0', etag: md5('') } })
    t.equal((await ask('box/empty', { method: 'HEAD' })).headers['content-length'], '0')
  })

  t.test('a body of many regions goes in and out unharmed, chunked or not', async (t) => {
    const bytes = randomBytes(13 * 1024 * 1024 + 12_345)
    const chunked = await ask('box/big', {
      method: 'PUT',
      body: Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]),
    })
    t.equal(chunked.status, 201)
    t.equal(chunked.headers.etag, md5(bytes))
    t.ok((await ask('box/big')).body.equals(bytes))
    t.equal((await ask('box/big', { method: 'PUT', body: bytes })).headers.etag, md5(bytes))
    const got = await ask('box/big')
    t.equal(got.headers['content-length'], String(bytes.length))
    t.ok(got.body.equals(bytes))
  })

  t.test('a PUT replaces what was there, metadata and all', async (t) => {
    await ask('box/twice', { method: 'PUT', body: 'one', headers: { 'x-object-meta-a': '1' } })
    await ask('box/twice', { method: 'PUT', body: 'two', headers: { 'content-type': 'x/y' } })
    const got = await ask('box/twice')
    t.match(got, { text: 'two', headers: { 'content-type': 'x/y' } })
    t.equal(got.headers['x-object-meta-a'], undefined)
  })

  t.test('the name says the type when the client does not', async (t) => {
    await ask('box/page.HTML', { method: 'PUT', body: '' })
    t.equal((await ask('box/page.HTML')).headers['content-type'], 'text/html')
    await ask('box/unknown', { method: 'PUT', body: '' })
    t.equal((await ask('box/unknown')).headers['content-type'], 'application/octet-stream')
    const detect = { 'content-type': 'a/b', 'x-detect-content-type': 'true' }
    await ask('box/p.json', { method: 'PUT', body: '', headers: detect })
    t.equal((await ask('box/p.json')).headers['content-type'], 'application/json')
  })

  t.test('any Content-Type is kept as it was sent', async (t) => {
    for (const type of ['text/plain; charset=latin1', 'nonsense', 'application/json', 'a/b;x="y z"']) {
      await ask('box/typed', { method: 'PUT', body: '{', headers: { 'content-type': type } })
      t.equal((await ask('box/typed')).headers['content-type'], type)
    }
  })

  t.test('headers that say how to show the object are kept', async (t) => {
    const kept = {
      'content-encoding': 'gzip',
      'content-disposition': 'attachment; filename="a b.txt"',
      'cache-control': 'no-cache',
      'content-language': 'de',
      expires: 'never',
    }
    await ask('box/kept', { method: 'PUT', body: 'x', headers: kept })
    t.match((await ask('box/kept')).headers, kept)
  })

  t.test('an ETag that is not the MD5 of the body is 422, and the old object stays', async (t) => {
    await ask('box/etag', { method: 'PUT', body: 'old' })
    t.equal((await ask('box/etag', { method: 'PUT', body: 'new', headers: { etag: md5('other') } })).status, 422)
    t.equal((await ask('box/etag', { method: 'PUT', body: 'new', headers: { etag: 'nonsense' } })).status, 422)
    t.equal((await ask('box/etag')).text, 'old')
    t.equal((await ask('box/etag', { method: 'PUT', body: 'new', headers: { etag: `"${md5('new')}"` } })).status, 201)
  })

  t.test('If-None-Match: * puts only what is not there', async (t) => {
    const headers = { 'if-none-match': '*' }
    t.equal((await ask('box/once', { method: 'PUT', body: '1', headers })).status, 201)
    t.equal((await ask('box/once', { method: 'PUT', body: '2', headers })).status, 412)
    t.equal((await ask('box/once')).text, '1')
    const other = await ask('box/once', { method: 'PUT', body: '2', headers: { 'if-none-match': md5('1') } })
    t.match(other, { status: 400, text: 'If-None-Match only supports *' })
  })

  t.test('conditions on GET and HEAD', async (t) => {
    await ask('box/cond', { method: 'PUT', body: 'x' })
    const { headers } = await ask('box/cond', { method: 'HEAD' })
    const notModified = await ask('box/cond', { headers: { 'if-none-match': `"${headers.etag}"` } })
    t.equal(notModified.status, 304)
    t.equal(notModified.body.length, 0)
    t.equal(notModified.headers.etag, headers.etag)
    const since = { 'if-modified-since': headers['last-modified'] as string }
    t.equal((await ask('box/cond', { method: 'HEAD', headers: since })).status, 304)
    t.equal((await ask('box/cond', { headers: { 'if-match': md5('y') } })).status, 412)
    t.equal((await ask('box/cond', { headers: { 'if-match': `${headers.etag}` } })).status, 200)
  })

  t.test('ranges: one, from the end, several, and none that exist', async (t) => {
    await ask('box/digits', { method: 'PUT', body: '0123456789', headers: { 'content-type': 'text/plain' } })
    const range = (value: string, more = {}) => ask('box/digits', { headers: { range: value, ...more } })
    t.match(await range('bytes=2-4'), {
      status: 206,
      text: '234',
      headers: { 'content-range': 'bytes 2-4/10', 'content-length': '3', etag: md5('0123456789') },
    })
    t.match(await range('bytes=-3'), { status: 206, text: '789' })
    t.match(await range('bytes=5-'), { status: 206, text: '56789' })
    const several = await range('bytes=0-1,8-9')
    t.equal(several.status, 206)
    t.equal(several.headers['content-length'], String(several.body.length))
    const boundary = /^multipart\/byteranges;boundary=([0-9a-f]{32})$/.exec(
      String(several.headers['content-type']),
    )?.[1]
    t.equal(
      several.text,
      [
        `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01`,
        `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89`,
        `--${boundary}--`,
      ].join('\r\n'),
    )
    const none = await range('bytes=10-')
    t.match(none, { status: 416, headers: { 'content-range': 'bytes */10' } })
    t.match(await range('bytes=nonsense'), { status: 200, text: '0123456789' })
    t.match(await range('bytes=2-4', { 'if-range': md5('other') }), { status: 200, text: '0123456789' })
    t.match(await range('bytes=2-4', { 'if-range': `"${md5('0123456789')}"` }), { status: 206, text: '234' })
  })

  t.test('ranges across the borders of regions are exact', async (t) => {
    const bytes = randomBytes(9 * 1024 * 1024)
    await ask('box/regions', { method: 'PUT', body: bytes })
    const border = 4 * 1024 * 1024
    for (const [start, end] of [
      [border - 1, border],
      [border - 5, 2 * border + 5],
      [1, bytes.length - 2],
    ] as const) {
      const got = await ask('box/regions', { headers: { range: `bytes=${start}-${end}` } })
      t.ok(got.body.equals(bytes.subarray(start, end + 1)), `${start}-${end}`)
    }
  })

  t.test('POST replaces metadata and leaves the data and the type alone', async (t) => {
    const headers = {
      'x-object-meta-a': '1',
      'x-object-meta-b': '2',
      'content-type': 'x/y',
      'content-encoding': 'gzip',
    }
    await ask('box/post', { method: 'PUT', body: 'data', headers })
    const posted = await ask('box/post', { method: 'POST', headers: { 'x-object-meta-c': '3' } })
    t.match(posted, { status: 202, text: /<h1>Accepted<\/h1>/ })
    const got = await ask('box/post')
    t.match(got, { text: 'data', headers: { 'x-object-meta-c': '3', 'content-type': 'x/y' } })
    for (const gone of ['x-object-meta-a', 'x-object-meta-b', 'content-encoding']) t.equal(got.headers[gone], undefined)
    await ask('box/post', { method: 'POST', headers: { 'content-type': 'n/m' } })
    t.equal((await ask('box/post', { method: 'HEAD' })).headers['content-type'], 'n/m')
    t.equal((await ask('box/absent', { method: 'POST' })).status, 404)
  })

  t.test('names may be any UTF-8', async (t) => {
    for (const name of ['a/b/c', 'ä€😀', 'a b+c%d?e#f&g=h', '../x', '//', 'new\nline', 'x'.repeat(1024)]) {
      const path = `box/${encodeURIComponent(name)}`
      t.equal((await ask(path, { method: 'PUT', body: name })).status, 201, name.slice(0, 20))
      t.equal((await ask(path)).text, name)
      const listed = await ask(`box?format=json&prefix=${encodeURIComponent(name)}`)
      t.ok(listed.json.some((row: { name: string }) => row.name === name))
      t.equal((await ask(path, { method: 'DELETE' })).status, 204)
    }
  })

  t.test('values of metadata may be any UTF-8', async (t) => {
    const value = Buffer.from('5 € 😀').toString('latin1')
    await ask('box/meta', { method: 'PUT', body: '', headers: { 'x-object-meta-price': value } })
    t.equal((await ask('box/meta', { method: 'HEAD' })).headers['x-object-meta-price'], value)
  })

  t.test('names and metadata beyond the limits are 400, in Swift’s words', async (t) => {
    const long = await ask(`box/${'x'.repeat(1025)}`, { method: 'PUT', body: '' })
    t.match(long, { status: 400, text: 'Object name length of 1025 longer than 1024' })
    const meta = await ask('box/x', { method: 'PUT', body: '', headers: { 'x-object-meta-a': 'v'.repeat(257) } })
    t.match(meta, { status: 400, text: /^Metadata value longer than 256/ })
    t.equal((await ask('box/x')).status, 404)
  })

  t.test('DELETE takes the object away, once', async (t) => {
    await ask('box/gone', { method: 'PUT', body: 'x' })
    t.equal((await ask('box/gone', { method: 'DELETE' })).status, 204)
    t.equal((await ask('box/gone', { method: 'DELETE' })).status, 404)
    t.match(await ask('box/gone'), {
      status: 404,
      text: '<html><h1>Not Found</h1><p>The resource could not be found.</p></html>',
      headers: { 'content-type': 'text/html; charset=UTF-8' },
    })
    t.equal((await ask('box/gone', { method: 'HEAD' })).status, 404)
  })

  t.test('an object is not put into a container that is not there', async (t) => {
    t.equal((await ask('nowhere/a', { method: 'PUT', body: 'x' })).status, 404)
  })

  t.test('features of Swift that Atoll does not support are 400 and store nothing', async (t) => {
    const versioned = await ask('box/later', { method: 'PUT', body: '', headers: { 'x-versions-enabled': 'true' } })
    t.match(versioned, { status: 400, text: /does not support versioning/ })
    t.equal((await ask('box/later?hashmap', { method: 'PUT', body: '[]' })).status, 400)
    t.equal((await ask('box/later')).status, 404)
    t.equal((await ask('box/a.txt', { method: 'PATCH' })).status, 405)
  })
})
