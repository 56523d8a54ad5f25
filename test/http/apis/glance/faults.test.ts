import t from 'tap'
import { renderFault } from '../../../../src/http/apis/glance/errors.js'

t.test('a client that takes anything is told in HTML, as Glance does', async (t) => {
  for (const accept of [undefined, '', '*/*', 'text/html', 'text/*, application/json;q=0.9']) {
    const { contentType, body } = renderFault(404, 'No image found', accept)
    t.match(contentType, 'text/html', String(accept))
    t.match(body, '<h1>404 Not Found</h1>')
    t.match(body, 'No image found<br />')
  }
})

t.test('a client that prefers JSON is told in JSON', async (t) => {
  for (const accept of ['application/json', 'application/json, */*;q=0.5', 'text/html;q=0.1, application/json']) {
    const { contentType, body } = renderFault(409, 'it has its data already', accept)
    t.match(contentType, 'application/json', accept)
    t.same(JSON.parse(body), { message: 'it has its data already', code: '409 Conflict', title: 'Conflict' })
  }
})

t.test('a client that takes neither is told in plain text', async (t) => {
  const { contentType, body } = renderFault(400, 'no', 'application/octet-stream')
  t.match(contentType, 'text/plain')
  t.equal(body, '400 Bad Request\n\nno\n')
})

t.test('what a client sent does not come back as markup', async (t) => {
  t.notMatch(renderFault(404, 'no image <script>alert("x")</script>', '*/*').body, '<script')
})
