import { join } from 'node:path'
import t from 'tap'
import { openStore } from '../../../src/core/store.js'
import { createApp } from '../../../src/http/app.js'
import { Readiness } from '../../../src/http/shared/readiness.js'
import { silentLogger } from '../../../src/lib/log.js'
import { ask } from '../../../testkit/http.js'
import { startServer } from '../../../testkit/server.js'

t.test('until the server is ready every request is 503, afterwards all are answered', async (t) => {
  const readiness = new Readiness()
  const server = await startServer(t, { readiness })
  const paths = [
    '/healthcheck',
    '/',
    '/v3',
    '/v3/auth/tokens',
    '/v1/AUTH_x',
    '/info',
    '/image/v2/images',
    '/volume/v3/x/volumes',
  ]
  for (const path of paths) {
    const { status, headers } = await ask(`${server.url}${path}`)
    t.equal(status, 503, path)
    t.match(headers['retry-after'], /^\d+$/, path)
  }
  await t.rejects(server.login(), /503/)
  readiness.ready()
  for (const path of paths) t.not((await ask(`${server.url}${path}`)).status, 503, path)
  t.equal((await ask(`${server.url}/healthcheck`)).text, 'OK')
  await server.login()
})

t.test('a server that shuts down is not healthy, and still answers requests', async (t) => {
  const readiness = Readiness.now()
  const server = await startServer(t, { readiness })
  readiness.closing()
  t.match(await ask(`${server.url}/healthcheck`), { status: 503, text: 'the server is shutting down' })
  readiness.ready()
  t.equal((await ask(`${server.url}/healthcheck`)).status, 503, 'and does not become ready again')
  await server.login()
})

t.test('a server whose catalog and engine are closed is not healthy', async (t) => {
  const log = silentLogger()
  const store = await openStore({ dataDir: join(t.testdir(), 'data'), log })
  const app = await createApp({ core: store.core, log })
  t.equal((await app.inject('/healthcheck')).payload, 'OK')
  await store.close()
  const { statusCode, payload } = await app.inject('/healthcheck')
  t.equal(statusCode, 503)
  t.equal(payload, 'the server cannot read its catalog or its store')
  await app.close()
})
