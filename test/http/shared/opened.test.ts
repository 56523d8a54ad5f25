// What is opened to be sent is closed, whatever becomes of the client.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { ResourceNotFound } from '../../../src/core/model/errors.js'
import { openCurrent } from '../../../src/core/tree/open_data.js'
import { startServer } from '../../../testkit/server.js'
import { createImage, patterned, upload } from '../apis/glance/support.js'

t.test('clients that leave while an image or an object is being opened leave nothing open', async (t) => {
  const server = await startServer(t)
  const session = await server.login()
  const { id } = await createImage(session)
  const bytes = patterned(3 << 20)
  await upload(session, id, bytes)
  await session.ask('box', { method: 'PUT' })
  await session.ask('box/o', { method: 'PUT', body: bytes })
  // A client that is gone by the time that the data is open: the opening waits until it is.
  const { hostname, port } = new URL(server.url)
  for (const [path, things] of [
    [`/image/v2/images/${id}/file`, server.core.images],
    [`/v1/AUTH_${session.projectId}/box/o`, server.core.contents],
  ] as const) {
    const open = things.open.bind(things) as (...args: unknown[]) => Promise<unknown>
    let opened = 0
    things.open = (async (...args: unknown[]) => {
      const connections = server.connections()
      socket.resetAndDestroy()
      for (const connection of connections)
        if (!connection.destroyed) await new Promise((resolve) => connection.once('close', resolve))
      opened += 1
      return open(...args)
    }) as never
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\n\r\n`)
    await once(socket, 'close')
    things.open = open as never
    while (opened === 0) await session.ask('box', { method: 'HEAD' })
    while (server.counters().openResources > 0) await session.ask('box', { method: 'HEAD' })
    t.pass(path)
  }
})

t.test('what keeps changing is not opened for ever', async (t) => {
  let tries = 0
  const gone = async () => {
    tries += 1
    throw new ResourceNotFound('x')
  }
  await t.rejects(openCurrent('the object o', gone), { status: 503, message: /the object o changes faster/ })
  t.equal(tries, 16)
  await t.rejects(
    openCurrent('the object o', async () => Promise.reject(new Error('else'))),
    { message: 'else' },
  )
  t.equal(await openCurrent('the object o', async () => (tries++ < 20 ? gone() : 'opened')), 'opened')
})
