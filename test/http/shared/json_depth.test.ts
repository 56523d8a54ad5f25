import t from 'tap'
import { nestsTooDeep } from '../../../src/http/shared/json_depth.js'
import { startServer } from '../../../testkit/server.js'

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

t.test('brackets are counted where they open a level, and not in strings', async (t) => {
  t.equal(nestsTooDeep(nested(64)), false)
  t.equal(nestsTooDeep(nested(65)), true)
  t.equal(nestsTooDeep(`{"a": ${'{"b":'.repeat(64)}`), true)
  t.equal(nestsTooDeep(JSON.stringify({ a: '['.repeat(100), 'b"[': '\\"[[' })), false)
  t.equal(nestsTooDeep('[],'.repeat(1000)), false)
})

t.test('a body that nests too deep is refused by every API', async (t) => {
  const server = await startServer(t)
  const admin = await server.login()
  for (const [method, path] of [
    ['POST', '/v3/auth/tokens'],
    ['POST', '/image/v2/images'],
    ['POST', '/volume/v3/volumes'],
    ['POST', '/volume/v3/volumes/x/action'],
    ['POST', '/volume/v3/attachments'],
  ] as const) {
    const headers = { 'openstack-api-version': 'volume 3.70' }
    const answer = await admin.ask(path, { method, headers, body: `{"a": ${nested(30_000)}}` })
    t.equal(answer.status, 400, path)
  }
})
