import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

t.test('containers and accounts', async (t) => {
  const server = await startServer(t)
  const { ask } = await server.login()

  t.test('a container is created once and accepted again', async (t) => {
    t.equal((await ask('c1', { method: 'PUT' })).status, 201)
    t.match(await ask('c1', { method: 'PUT' }), { status: 202, text: /Accepted/ })
  })

  t.test('HEAD counts what is in it and says how content is cut up', async (t) => {
    await ask('count', { method: 'PUT' })
    await ask('count/a', { method: 'PUT', body: '12345' })
    await ask('count/b', { method: 'PUT', body: '678' })
    await ask('count/a', { method: 'PUT', body: '1' })
    const head = await ask('count', { method: 'HEAD' })
    t.equal(head.status, 204)
    t.match(head.headers, {
      'x-container-object-count': '2',
      'x-container-bytes-used': '4',
      'x-container-block-size': '4194304',
      'x-container-block-hash': 'sha256',
      'x-storage-policy': 'standard',
      'x-timestamp': /^\d{10}\.\d{5}$/,
      'last-modified': /GMT$/,
    })
  })

  t.test('metadata is set, changed and removed item by item', async (t) => {
    await ask('meta', { method: 'PUT', headers: { 'x-container-meta-a': '1', 'x-container-meta-b': '2' } })
    await ask('meta', { method: 'POST', headers: { 'x-container-meta-c': '3', 'x-remove-container-meta-a': 'x' } })
    await ask('meta', { method: 'PUT', headers: { 'x-container-meta-b': '' } })
    const { headers } = await ask('meta', { method: 'HEAD' })
    t.equal(headers['x-container-meta-a'], undefined)
    t.equal(headers['x-container-meta-b'], undefined)
    t.equal(headers['x-container-meta-c'], '3')
    t.equal((await ask('absent', { method: 'POST' })).status, 404)
  })

  t.test('metadata has a limit that small steps do not get round', async (t) => {
    await ask('limit', { method: 'PUT' })
    const headers = (from: number) =>
      Object.fromEntries(Array.from({ length: 46 }, (_, index) => [`x-container-meta-n${from + index}`, 'v']))
    t.equal((await ask('limit', { method: 'POST', headers: headers(0) })).status, 204)
    t.match(await ask('limit', { method: 'POST', headers: headers(46) }), {
      status: 400,
      text: /Too many metadata items/,
    })
  })

  t.test('only an empty container is deleted', async (t) => {
    await ask('full', { method: 'PUT' })
    await ask('full/a', { method: 'PUT', body: '' })
    t.match(await ask('full', { method: 'DELETE' }), { status: 409, text: /<h1>Conflict<\/h1>/ })
    await ask('full/a', { method: 'DELETE' })
    t.equal((await ask('full', { method: 'DELETE' })).status, 204)
    t.equal((await ask('full', { method: 'DELETE' })).status, 404)
    t.equal((await ask('full')).status, 404)
    t.equal((await ask('full', { method: 'HEAD' })).status, 404)
  })

  t.test('names of containers have a length', async (t) => {
    t.equal((await ask('n'.repeat(256), { method: 'PUT' })).status, 201)
    const long = await ask('n'.repeat(257), { method: 'PUT' })
    t.match(long, { status: 400, text: 'Container name length of 257 longer than 256' })
  })

  t.test('there is one storage policy', async (t) => {
    t.equal((await ask('policy', { method: 'PUT', headers: { 'x-storage-policy': 'standard' } })).status, 201)
    const other = await ask('policy2', { method: 'PUT', headers: { 'x-storage-policy': 'gold' } })
    t.match(other, { status: 400, text: 'Invalid X-Storage-Policy header "gold"' })
  })

  t.test('versioning is 400 with the name of the feature', async (t) => {
    t.match(await ask('c1', { method: 'POST', headers: { 'x-versions-enabled': 'true' } }), {
      status: 400,
      text: /does not support versioning/,
    })
  })

  t.test('an account counts its containers and objects and keeps metadata', async (t) => {
    const user = await server.createUser({ name: 'counter', project: 'counted' })
    const account = await server.login(user)
    t.match(await account.ask('', { method: 'HEAD' }), { status: 204, headers: { 'x-account-container-count': '0' } })
    await account.ask('a', { method: 'PUT' })
    await account.ask('b', { method: 'PUT' })
    await account.ask('b/x', { method: 'PUT', body: '123' })
    t.equal((await account.ask('', { method: 'POST', headers: { 'x-account-meta-city': 'Paris' } })).status, 204)
    t.match((await account.ask('', { method: 'HEAD' })).headers, {
      'x-account-container-count': '2',
      'x-account-object-count': '1',
      'x-account-bytes-used': '3',
      'x-account-meta-city': 'Paris',
    })
    t.equal((await account.ask('')).text, 'a\nb\n')
    t.match((await account.ask('?format=json')).json, [
      { name: 'a', count: 0, bytes: 0, last_modified: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/ },
      { name: 'b', count: 1, bytes: 3 },
    ])
    t.equal((await account.ask('', { method: 'PUT' })).status, 405)
    t.equal((await account.ask('', { method: 'DELETE' })).status, 405)
  })
})
