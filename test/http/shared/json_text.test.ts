// A JSON body is UTF-8, and made of characters: what is not would be stored as U+FFFD, and different passwords would be equal.

import t from 'tap'
import { parseJson } from '../../../src/http/shared/body.js'
import { startServer } from '../../../testkit/server.js'

t.test('a body that is no UTF-8, or holds half a surrogate pair, is 400 in every API', async (t) => {
  const server = await startServer(t)
  const admin = await server.login()
  const volumes = `/volume/v3/${admin.projectId}/volumes`
  const texts = ['\xff', '\xc3(', '\xed\xa0\x80', '\xf0\x9f\x98', '\\ud800', '\\udc00\\ud800', '\\uDBFFx'].map((text) =>
    Buffer.from(text, 'latin1'),
  )
  const around = (before: string, text: Buffer, after: string) =>
    Buffer.concat([Buffer.from(before), text, Buffer.from(after)])
  for (const text of texts)
    for (const [method, path, body] of [
      ['POST', '/v3/users', around('{"user": {"name": "mallory", "password": "', text, '"}}')],
      [
        'POST',
        '/v3/auth/tokens',
        around(
          '{"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "x", "password": "',
          text,
          '"}}}}}',
        ),
      ],
      ['POST', '/image/v2/images', around('{"name": "', text, '"}')],
      ['POST', '/image/v2/images', around('{"', text, '": "v"}')],
      ['POST', volumes, around('{"volume": {"size": 1, "name": "', text, '"}}')],
    ] as const)
      t.equal((await admin.ask(path, { method, body })).status, 400, `${path} ${text.toString('latin1')}`)
  t.equal((await admin.ask('/v3/users?name=mallory')).json.users.length, 0)
})

t.test('characters of every kind are read as they are', async (t) => {
  for (const text of ['ä', '😀', '\u0000', '\uffff', '\ufffd']) {
    t.same(parseJson(Buffer.from(JSON.stringify({ [text]: text }))), { [text]: text })
  }
  t.equal(parseJson(Buffer.from('"\\ud83d\\ude00"')), '😀')
  t.same(parseJson(Buffer.from('{"__proto__": {"a": "\\ud83d\\ude00"}}')), JSON.parse('{"__proto__": {"a": "😀"}}'))
})
