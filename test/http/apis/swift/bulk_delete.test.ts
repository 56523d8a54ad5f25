// Deletes of many objects and containers by one request.

import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

const server = await startServer(t)
const { ask } = await server.login()
const json = { accept: 'application/json', 'content-type': 'text/plain' }

t.test('objects and then containers are deleted, whatever the order of their names', async (t) => {
  await ask('one', { method: 'PUT' })
  const names = Array.from({ length: 100 }, (_, i) => `one/ü ${i}`)
  for (const name of names) await ask(encodeURI(name), { method: 'PUT', body: 'x' })
  const body = ['/one', ...names.map((name) => `/${encodeURI(name)}`), 'one/missing', ''].join('\n')
  const answer = await ask('?bulk-delete', { method: 'POST', body, headers: json })
  t.equal(answer.status, 200)
  t.same(answer.json, {
    'Number Deleted': 101,
    'Number Not Found': 1,
    'Response Status': '200 OK',
    'Response Body': '',
    Errors: [],
  })
  t.equal((await ask('one')).status, 404)
})

t.test('what cannot be deleted is reported, in text, JSON and XML', async (t) => {
  await ask('full', { method: 'PUT' })
  await ask('full/o', { method: 'PUT', body: 'x' })
  const ended = async (headers: Record<string, string>) =>
    ask('?bulk-delete=1', { method: 'DELETE', body: 'full\nbad%FF', headers })
  const answer = await ended(json)
  t.match(answer.json, { 'Response Status': '400 Bad Request', 'Number Deleted': 0 })
  t.match(JSON.stringify(answer.json.Errors), /"full","409 Conflict"/)
  t.match(JSON.stringify(answer.json.Errors), /412 Precondition Failed/)
  t.match((await ended({ accept: 'text/plain' })).text, /Errors:\n[\s\S]*full, 409 Conflict\n/)
  t.match((await ended({ accept: 'application/xml' })).text, /<name>full<\/name><status>409 Conflict<\/status>/)
})

t.test('a body of nothing, of another type, or with too many names is refused in the answer', async (t) => {
  const answer = async (body: string, type = 'text/plain') =>
    (await ask('?bulk-delete', { method: 'POST', body, headers: { ...json, 'content-type': type } })).json
  t.match(await answer('\n'), { 'Response Status': '400 Bad Request', 'Response Body': 'Invalid bulk delete.' })
  t.match(await answer('a/b', 'application/json'), { 'Response Status': '406 Not Acceptable' })
  t.match(await answer('a/b\n'.repeat(10_001)), { 'Response Status': '413 Request Entity Too Large' })
})
