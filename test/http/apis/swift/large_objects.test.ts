// Static and dynamic large objects: what their manifests say, what is read, and what becomes of their segments.

import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

const md5 = (bytes: string | Buffer) => createHash('md5').update(bytes).digest('hex')

const server = await startServer(t)
const { ask, storageUrl } = await server.login()
await ask('box', { method: 'PUT' })
await ask('parts', { method: 'PUT' })

/** Random segments of the container `parts`, each larger than what is sent through JavaScript. */
const segments = [100_000, 70_000, 1, 200_000].map((bytes) => randomBytes(bytes))
const all = Buffer.concat(segments)
for (const [index, body] of segments.entries()) await ask(`parts/s/${index}`, { method: 'PUT', body })

const entry = (index: number) => ({ path: `/parts/s/${index}` })
const putManifest = (name: string, manifest: unknown, headers: Record<string, string> = {}) =>
  ask(`box/${name}?multipart-manifest=put`, { method: 'PUT', body: JSON.stringify(manifest), headers })
const etag = md5(segments.map(md5).join(''))

t.test('a static large object reads as its segments', async (t) => {
  const full = segments.map((bytes, i) => ({ ...entry(i), size_bytes: bytes.length, etag: md5(bytes) }))
  const put = await putManifest('slo', full, { 'content-type': 'x/y', 'x-object-meta-a': '1' })
  t.match(put, { status: 201, headers: { etag: `"${etag}"` } })
  const get = await ask('box/slo')
  t.match(get, {
    status: 200,
    headers: {
      etag: `"${etag}"`,
      'content-length': String(all.length),
      'content-type': 'x/y',
      'x-static-large-object': 'True',
      'x-object-meta-a': '1',
    },
  })
  t.ok(all.equals(get.body))
  const head = await ask('box/slo', { method: 'HEAD' })
  t.equal(head.headers['content-length'], String(all.length))
  t.equal(head.headers.etag, `"${etag}"`)
})

t.test('ranges of a static large object cross its segments', async (t) => {
  for (const [first, last] of [
    [0, 0],
    [99_990, 170_010],
    [169_999, 170_001],
    [0, 299_999],
    [370_000, 370_000],
  ] as const) {
    const part = await ask('box/slo', { headers: { range: `bytes=${first}-${last}` } })
    t.equal(part.status, 206)
    t.equal(part.headers['content-range'], `bytes ${first}-${last}/${all.length}`)
    t.ok(all.subarray(first, last + 1).equals(part.body), `${first}-${last}`)
  }
  const several = await ask('box/slo', { headers: { range: 'bytes=99999-100000,169999-170001' } })
  t.match(several.headers['content-type'], /^multipart\/byteranges/)
  t.ok(several.body.includes(all.subarray(169_999, 170_002)))
  const none = await ask('box/slo', { headers: { range: `bytes=${all.length}-` } })
  t.match(none, { status: 416, headers: { 'content-range': `bytes */${all.length}` } })
})

t.test('conditions compare with the ETag of the segments', async (t) => {
  t.equal((await ask('box/slo', { headers: { 'if-none-match': `"${etag}"` } })).status, 304)
  t.equal((await ask('box/slo', { headers: { 'if-match': etag } })).status, 200)
  t.equal((await ask('box/slo', { method: 'HEAD', headers: { 'if-match': 'another' } })).status, 412)
})

t.test(
  'the manifest itself is read with multipart-manifest=get, and in the form of a PUT with format=raw',
  async (t) => {
    const get = await ask('box/slo?multipart-manifest=get')
    t.match(get.headers, { 'content-type': 'application/json; charset=utf-8', 'x-static-large-object': 'True' })
    t.equal(get.headers.etag, md5(get.body))
    t.match(get.json, [{ name: '/parts/s/0', bytes: 100_000, hash: md5(segments[0] as Buffer) }])
    const raw = await ask('box/slo?multipart-manifest=get&format=raw')
    t.same(raw.json[2], { path: '/parts/s/2', size_bytes: 1, etag: md5(segments[2] as Buffer) })
    t.equal((await ask('box/again?multipart-manifest=put', { method: 'PUT', body: raw.body })).status, 201)
    t.ok(all.equals((await ask('box/again')).body))
  },
)

t.test('segments may be ranges, data in the manifest, and static large objects', async (t) => {
  const data = Buffer.from('between')
  const manifest = [
    { ...entry(0), range: '10-19' },
    { data: data.toString('base64') },
    { path: 'box/slo', range: '99990-' },
    { ...entry(1), range: '-5' },
  ]
  t.equal((await putManifest('nested', manifest)).status, 201)
  const whole = Buffer.concat([all.subarray(10, 20), data, all.subarray(99_990), all.subarray(169_995, 170_000)])
  const get = await ask('box/nested')
  t.ok(whole.equals(get.body))
  t.equal(get.headers['content-length'], String(whole.length))
  const part = await ask('box/nested', { headers: { range: 'bytes=8-40' } })
  t.ok(whole.subarray(8, 41).equals(part.body))
})

t.test('a listing shows the size of all segments, and both ETags', async (t) => {
  const rows = (await ask('box?format=json&prefix=slo')).json
  const manifest = await ask('box/slo?multipart-manifest=get', { method: 'HEAD' })
  t.match(rows, [{ name: 'slo', bytes: all.length, hash: manifest.headers.etag, slo_etag: `"${etag}"` }])
})

t.test('a manifest that does not fit what is stored is 400 with each problem, and stores nothing', async (t) => {
  const wrong = [
    { path: '/parts/missing' },
    { ...entry(0), size_bytes: 5 },
    { ...entry(1), etag: 'other' },
    { ...entry(2), range: '7-' },
  ]
  const refused = await ask('box/wrong?multipart-manifest=put', {
    method: 'PUT',
    body: JSON.stringify(wrong),
    headers: { accept: 'application/json' },
  })
  t.equal(refused.status, 400)
  t.same(refused.json.Errors, [
    ['/parts/missing', '404 Not Found'],
    ['/parts/s/0', 'Size Mismatch'],
    ['/parts/s/1', 'Etag Mismatch'],
    ['/parts/s/2', 'Unsatisfiable Range'],
  ])
  t.equal((await putManifest('wrong', [entry(0)], { etag: 'f'.repeat(32) })).status, 422)
  t.equal((await ask('box/wrong')).status, 404)
})

t.test('a manifest of another form is 400 with a line for each entry', async (t) => {
  for (const [manifest, text] of [
    ['{', 'Manifest must be valid JSON.\n'],
    ['{}', 'Manifest must be a list.\n'],
    ['[1]', 'Index 0: not a JSON object\n'],
    ['[{}]', "Index 0: expected keys to include one of 'data' or 'path'\n"],
    ['[{"path":"/a/b","x":1}]', 'Index 0: extraneous keys "x"\n'],
    ['[{"path":"/a"}]', /does not refer to an object/],
    ['[{"path":"/box/form"}]', 'Index 0: manifest must not include itself as a segment\n'],
    ['[{"path":"/a/b","range":"1-2,4-5"}]', 'Index 0: multiple ranges (only one allowed)\n'],
    ['[{"path":"/a/b","range":"x"}]', 'Index 0: invalid range\n'],
    ['[{"path":"/a/b","size_bytes":"x"}]', 'Index 0: invalid size_bytes\n'],
    ['[{"data":"?"}]', 'Index 0: data must be valid base64\n'],
    ['[{"data":"eA=="}]', 'Inline data segments require at least one object-backed segment.\n'],
  ] as const) {
    const refused = await ask('box/form?multipart-manifest=put', { method: 'PUT', body: manifest })
    t.match(refused, { status: 400, text }, manifest)
  }
  const many = Array.from({ length: 1001 }, () => entry(0))
  t.match(await putManifest('form', many), { status: 413, text: /must be <= 1000/ })
})

t.test('with heartbeat=on the outcome follows the head', async (t) => {
  const put = await ask('box/beat?multipart-manifest=put&heartbeat=on', {
    method: 'PUT',
    body: JSON.stringify([entry(0)]),
    headers: { accept: 'application/json' },
  })
  t.equal(put.status, 202)
  t.match(put.json, { 'Response Status': '201 Created', Errors: [] })
  const failed = await ask('box/beat?multipart-manifest=put&heartbeat=on', {
    method: 'PUT',
    body: '[{"path":"no/where"}]',
  })
  t.match(failed, {
    status: 202,
    text: /^ \r\n\r\n[\s\S]*Response Status: 400 Bad Request[\s\S]*no\/where, 404 Not Found/,
  })
})

t.test('a segment that is missing or was replaced is 409 before a byte is sent', async (t) => {
  await ask('parts/gone', { method: 'PUT', body: 'abc' })
  await putManifest('broken', [entry(0), { path: 'parts/gone' }])
  await ask('parts/gone', { method: 'PUT', body: 'xyz' })
  t.equal((await ask('box/broken')).status, 409)
  await ask('parts/gone', { method: 'DELETE' })
  t.equal((await ask('box/broken')).status, 409)
  t.equal((await ask('box/broken', { headers: { range: 'bytes=0-9' } })).status, 206)
  t.equal((await ask('box/broken', { method: 'HEAD' })).status, 200)
})

t.test('manifests within each other are followed ten levels deep', async (t) => {
  await putManifest('level1', [entry(2)])
  for (let level = 2; level <= 11; level++) await putManifest(`level${level}`, [{ path: `box/level${level - 1}` }])
  t.ok(segments[2]?.equals((await ask('box/level10')).body))
  t.equal((await ask('box/level11')).status, 409)
})

t.test('POST replaces the metadata of a static large object, which stays one', async (t) => {
  await putManifest('post', [entry(0)])
  await ask('box/post', { method: 'POST', headers: { 'x-object-meta-b': '2' } })
  t.match(await ask('box/post', { method: 'HEAD' }), {
    headers: { 'x-object-meta-b': '2', 'content-length': '100000' },
  })
})

t.test('a copy of a static large object has its bytes, or with multipart-manifest=get its manifest', async (t) => {
  const copied = await ask('box/slo', { method: 'COPY', headers: { destination: 'box/whole' } })
  t.match(copied, { status: 201, headers: { etag: md5(all), 'x-object-meta-a': '1' } })
  const whole = await ask('box/whole')
  t.ok(all.equals(whole.body))
  t.equal(whole.headers['x-static-large-object'], undefined)
  await ask('box/slo?multipart-manifest=get', { method: 'COPY', headers: { destination: 'box/manifest' } })
  t.match(await ask('box/manifest', { method: 'HEAD' }), {
    headers: { etag: `"${etag}"`, 'x-static-large-object': 'True' },
  })
})

t.test('multipart-manifest=delete deletes the segments and the manifest', async (t) => {
  await ask('doomed', { method: 'PUT' })
  for (const name of ['a', 'b']) await ask(`doomed/${name}`, { method: 'PUT', body: name })
  await putManifest('inner', [{ path: 'doomed/a' }])
  await putManifest('outer', [{ path: 'box/inner' }, { path: 'doomed/b' }])
  const headers = { accept: 'application/json' }
  const answer = await ask('box/outer?multipart-manifest=delete', { method: 'DELETE', headers })
  t.match(answer, { status: 200, json: { 'Number Deleted': 4, 'Number Not Found': 0, 'Response Status': '200 OK' } })
  t.equal((await ask('doomed?limit=1')).status, 204)
  const plain = await ask('box/whole?multipart-manifest=delete', { method: 'DELETE', headers })
  t.match(plain.json, { 'Response Status': '400 Bad Request', Errors: [['/box/whole', 'Not an SLO manifest']] })
})

t.test('segments that are deleted while they are read are read to their end', async (t) => {
  await ask('parts/read', { method: 'PUT', body: randomBytes(8 << 20) })
  await putManifest('read', [{ path: 'parts/read' }, { path: 'parts/read', range: '0-99' }])
  const bytes = (await ask('parts/read')).body
  const { core } = server
  const session = await server.login()
  const projectId = session.projectId
  const caller = (await core.sessions.authenticate(session.token))?.caller as never
  const open = await core.contents.open(caller, { projectId, container: 'box', object: 'read' })
  const range = { start: 0, end: open.sizeBytes }
  await open.prepare?.([range])
  await ask('parts/read', { method: 'DELETE' })
  const read = Buffer.concat(await open.read(range).toArray())
  open.close()
  t.ok(Buffer.concat([bytes, bytes.subarray(0, 100)]).equals(read))
})

t.test('a dynamic large object reads as all objects with its prefix', async (t) => {
  const headers = { 'x-object-manifest': 'parts/s/' }
  t.equal((await ask('box/dlo', { method: 'PUT', body: 'own', headers })).status, 201)
  const get = await ask('box/dlo')
  t.ok(all.equals(get.body))
  t.match(get.headers, { etag: `"${etag}"`, 'x-object-manifest': 'parts/s/', 'content-length': String(all.length) })
  t.match((await ask('box/dlo', { method: 'HEAD' })).headers, {
    etag: `"${etag}"`,
    'content-length': String(all.length),
  })
  const part = await ask('box/dlo', { headers: { range: 'bytes=99990-170009' } })
  t.ok(all.subarray(99_990, 170_010).equals(part.body))
  t.equal((await ask('box/dlo', { headers: { range: 'bytes=0-1,5-6' } })).status, 200)
  t.equal((await ask('box/dlo?multipart-manifest=get')).text, 'own')
  t.equal((await ask('box/dlo', { headers: { 'if-none-match': etag } })).status, 304)
})

t.test('a dynamic large object is copied as its bytes or as its manifest, and POST changes what it is', async (t) => {
  await ask('box/dlo', { method: 'COPY', headers: { destination: 'box/dlo-bytes' } })
  t.equal((await ask('box/dlo-bytes', { method: 'HEAD' })).headers.etag, md5(all))
  await ask('box/dlo?multipart-manifest=get', { method: 'COPY', headers: { destination: 'box/dlo-copy' } })
  t.equal((await ask('box/dlo-copy', { method: 'HEAD' })).headers['x-object-manifest'], 'parts/s/')
  await ask('box/dlo-copy', { method: 'POST', headers: { 'x-object-manifest': 'parts/s/0' } })
  t.equal((await ask('box/dlo-copy')).body.length, 100_000)
  await ask('box/dlo-copy', { method: 'POST' })
  t.equal((await ask('box/dlo-copy')).text, 'own')
  const refused = await ask('box/dlo', { method: 'PUT', body: '', headers: { 'x-object-manifest': 'parts' } })
  t.match(refused, { status: 400, text: /container\/prefix/ })
})

t.test('a copy with Range has the range alone', async (t) => {
  const headers = { destination: 'box/range', range: 'bytes=5-104' }
  t.match(await ask('parts/s/0', { method: 'COPY', headers }), {
    status: 201,
    headers: { etag: md5(all.subarray(5, 105)) },
  })
  t.ok(all.subarray(5, 105).equals((await ask('box/range')).body))
  t.equal((await ask('parts/s/0', { method: 'COPY', headers: { ...headers, range: 'bytes=100000-' } })).status, 416)
  t.equal((await ask('parts/s/0', { method: 'COPY', headers: { ...headers, range: 'bytes=0-1,4-5' } })).status, 400)
})

t.test('a manifest does not become an image', async (t) => {
  const account = storageUrl.split('/').at(-1)
  const image = await ask('/image/v2/images', {
    method: 'POST',
    body: JSON.stringify({ name: 'i', disk_format: 'raw', container_format: 'bare' }),
    headers: { 'content-type': 'application/json' },
  })
  const patch = [{ op: 'add', path: '/locations/-', value: { url: `swift://${account}/box/slo`, metadata: {} } }]
  const refused = await ask(`/image/v2/images/${image.json.id}`, {
    method: 'PATCH',
    body: JSON.stringify(patch),
    headers: { 'content-type': 'application/openstack-images-v2.1-json-patch' },
  })
  t.match(refused, { status: 409, text: /copy it first/ })
})
