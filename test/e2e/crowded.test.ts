// A server of which clients have taken all that they can get: the operator's commands and sockets work, and others still get their share.
//
// Runs alone: it takes all connections and descriptors that a server has.

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { adminOf, program, type ServerProcess, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(240_000)

async function open(host: string, port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, localAddress })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** The bytes that come until `enough` says so; all that came when the server closes first. */
async function receive(socket: Socket, enough: (bytes: Buffer) => boolean): Promise<Buffer> {
  let all = Buffer.alloc(0)
  while (!enough(all) && !socket.readableEnded && !socket.destroyed) {
    const piece = await Promise.race([once(socket, 'data'), once(socket, 'close')])
    if (!Buffer.isBuffer(piece[0])) break
    all = Buffer.concat([all, piece[0]])
  }
  return all
}

const httpPort = (server: ServerProcess) => Number(new URL(server.url).port)

/** A connection on which a request is being answered: half of its body is missing. */
async function openBusy(server: ServerProcess, localAddress: string): Promise<Socket> {
  const socket = await open('127.0.0.1', httpPort(server), localAddress)
  socket.write('POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n')
  await receive(socket, (bytes) => bytes.includes('100 Continue'))
  return socket
}

/** A tenant's NBD connection that has chosen this export, or why it has none. */
async function choose(server: ServerProcess, name: string): Promise<Socket | string> {
  const [host = '', port] = server.nbdAddress.split(':')
  const socket = await open(host, Number(port))
  await receive(socket, (bytes) => bytes.length >= 18)
  const data = Buffer.alloc(4 + name.length + 2)
  data.writeUInt32BE(name.length)
  data.write(name, 4)
  const header = Buffer.alloc(20)
  header.writeUInt32BE(3) // the client's flags
  header.write('IHAVEOPT', 4)
  header.writeUInt32BE(7, 12) // GO
  header.writeUInt32BE(data.length, 16)
  socket.write(Buffer.concat([header, data]))
  const answer = await receive(socket, (bytes) => {
    for (let at = 0; bytes.length >= at + 20; at += 20 + bytes.readUInt32BE(at + 16))
      if (bytes.readUInt32BE(at + 12) !== 3) return true // INFO is followed by others
    return false
  })
  for (let at = 0; answer.length >= at + 20; at += 20 + answer.readUInt32BE(at + 16))
    if (answer.readUInt32BE(at + 12) === 1) return socket
  socket.destroy()
  return answer.subarray(20).toString()
}

t.test(
  'with every tenant’s connection taken, status, health, the operator’s socket and other exports work',
  async (t) => {
    const limits = ['--http-max-connections', '12', '--nbd-max-connections', '40', '--nbd-max-export-connections', '10']
    const server = await startServerProcess(t, { arguments: limits })
    const api = await Api.login(await server.environment())
    const volume = await api.createVolume()
    const names: string[] = []
    for (const one of [volume, await api.createVolume(), await api.createVolume(), await api.createVolume()])
      names.push(new URL((await api.attach(one)).uri).pathname.slice(1))
    const taken: Socket[] = []
    t.teardown(() => {
      for (const socket of taken) socket.destroy()
    })

    const reasons: string[] = []
    for (const name of names)
      for (;;) {
        const result = await choose(server, name)
        if (typeof result === 'string') {
          reasons.push(result)
          break
        }
        taken.push(result)
      }
    t.equal(taken.length, 20, 'two exports of ten make the half of a project')
    t.match(reasons[0], /this export has 10 connections/)
    for (const reason of reasons.slice(2)) t.match(reason, /the exports of this project have 20 connections/)
    // Handshakes that choose nothing take the rest.
    const [host = '', port] = server.nbdAddress.split(':')
    for (let i = 0; i < 60; i++) taken.push(await open(host, Number(port)))
    for (let i = 0; i < 12; i++) taken.push(await openBusy(server, `127.0.0.${2 + (i % 3)}`))

    const status = await server.status()
    t.ok(status.counters.connections >= 30, `${status.counters.connections} NBD connections`)
    const health = await fetch(`${server.url}/healthcheck`)
    t.equal(health.status, 200)
    await nbdsh(server.operatorUri(volume), "h.pwrite(b'x' * 4096, 0); assert bytes(h.pread(4096, 0)) == b'x' * 4096")
    t.match(await choose(server, names[0] as string), /this export has 10 connections/, 'a handshake finds a place')
  },
)

t.test(
  'a server without a descriptor left goes on with what is open, and serves when there are some again',
  async (t) => {
    const server = await startServerProcess(t)
    const before = await open('127.0.0.1', httpPort(server))
    const setLimit = (limit: string) => execa('prlimit', ['--pid', String(server.pid), `--nofile=${limit}`])
    const { stdout: usual } = await execa('prlimit', [
      '--pid',
      String(server.pid),
      '--nofile',
      '--output=SOFT,HARD',
      '--noheadings',
    ])
    const { stdout: openNow } = await execa('sh', ['-c', `ls /proc/${server.pid}/fd | sort -n | tail -1`])
    await setLimit(`${Number(openNow) + 4}:`)
    const flood: Socket[] = []
    t.teardown(() => {
      for (const socket of flood) socket.destroy()
    })
    const [nbdHost = '', nbdPort] = server.nbdAddress.split(':')
    for (let i = 0; i < 60; i++) {
      const [host, port] = i % 2 ? (['127.0.0.1', httpPort(server)] as const) : ([nbdHost, Number(nbdPort)] as const)
      const socket = connect(port, host)
      socket.on('error', () => {})
      flood.push(socket)
    }
    before.write('GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n')
    t.match(
      String(await receive(before, (bytes) => bytes.includes('OK'))),
      /^HTTP\/1.1 200/,
      'an open connection is served',
    )
    await setLimit(usual.trim().split(/\s+/).join(':'))
    for (const socket of flood) socket.destroy()
    const api = await Api.login(await server.environment())
    const volume = await api.createVolume()
    await nbdsh(server.operatorUri(volume), 'h.pread(4096, 0)')
    await server.status()
    await server.stop()
  },
)

t.test('the limits follow from the file descriptors, with the soft limit raised to the hard one', async (t) => {
  const server = await startServerProcess(t)
  await server.stop()
  const run = execa(
    'prlimit',
    [
      '--nofile=256:2048',
      process.execPath,
      program,
      'serve',
      '--data',
      server.dataDir,
      '--http',
      '127.0.0.1:0',
      '--nbd',
      '127.0.0.1:0',
      '--log',
      'json',
    ],
    { reject: false, stdin: 'ignore', forceKillAfterDelay: false },
  )
  t.teardown(() => run.kill('SIGKILL'))
  let log = ''
  for await (const piece of run.stdout) {
    log += piece
    if (log.includes('"msg":"serving"')) break
  }
  t.match(log, /a limit of 2048 file descriptors is too low for 4096 HTTP and 4096 NBD connections/)
  run.kill('SIGTERM')
  t.equal((await run).exitCode, 0)
})

t.test('whoever finds the first administrator’s file, or is told that the server is healthy, can log in', async (t) => {
  for (let i = 0; i < 2; i++) {
    const server = await startServerProcess(t, {})
    await server.kill()
    await rm(server.dataDir, { recursive: true })
    const starting = server.start()
    const file = join(server.dataDir, 'openrc', 'admin.sh')
    const byFile = (async () => {
      while (!existsSync(file)) await sleep(1)
      return Api.login(await adminOf(server.dataDir))
    })()
    const byHealth = (async () => {
      for (;;) {
        const health = await fetch(`${server.url}/healthcheck`).catch(() => undefined)
        if (health?.ok) return Api.login(await adminOf(server.dataDir))
        await sleep(1)
      }
    })()
    await Promise.all([byFile, byHealth, starting])
    await server.kill()
  }
  t.pass()
})
