import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { takeActivation } from '../../src/server/activation.js'
import { Api } from '../../testkit/api.js'
import { untilItSays } from '../../testkit/process_output.js'
import { adminOf, atoll } from '../../testkit/server_process.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const launcher = fileURLToPath(new URL('../../testkit/pass_sockets.py', import.meta.url))
const units = fileURLToPath(new URL('../../scripts/systemd/', import.meta.url))

interface Teardown {
  teardown(end: () => unknown): unknown
}

/** Short: the path of a socket has 107 bytes. */
function scratch(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), 'atoll-act-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** `atoll serve` with sockets, each NAME=ADDRESS, passed in. */
function pass(
  sockets: string[],
  data: string,
  { launch = [], serve = [] }: { launch?: string[]; serve?: string[] } = {},
) {
  const command = [process.execPath, program, 'serve', '--data', data, '--log', 'json', ...serve]
  return execa('python3', [launcher, ...launch, ...sockets, '--', ...command], {
    reject: false,
    timeout: 120_000,
  })
}

/** Waits until it serves; answers the addresses of the sockets that were passed. */
async function serving(process: ReturnType<typeof pass>): Promise<string[]> {
  const text = await untilItSays(process, /"msg":"serving"/)
  return JSON.parse(text.split('\n')[0] ?? '')
}

/** Ends the server as a service manager does: it alone, by its process id. */
async function end(data: string): Promise<void> {
  process.kill(JSON.parse((await atoll('status', '--json', '--data', data)).stdout).process, 'SIGTERM')
}

const portOf = (address: string) => Number(address.split(':')[1])

const nbdinfo = (...args: string[]) => execa('nbdinfo', args, { reject: false, timeout: 60_000 })

t.test('nbdinfo starts the server itself, with nothing else listening, and it ends with nbdinfo', async (t) => {
  const data = join(scratch(t), 'data')
  const { exitCode, stdout, stderr } = await nbdinfo(
    ...['--list', '--json', '--', '[', process.execPath, program, 'serve', '--data', data, '--log-level', 'warn', ']'],
  )
  t.equal(exitCode, 0, stderr)
  t.match(JSON.parse(stdout), { protocol: 'newstyle-fixed', exports: [] })
  t.notOk(existsSync(join(data, 'nbd.sock')))
  t.match(await atoll('check', '--data', data), { exitCode: 0 })
})

t.test('HTTP and both doors of NBD on sockets passed by name', async (t) => {
  const dir = scratch(t)
  const data = join(dir, 'data')
  const socket = join(dir, 's')
  const server = pass(['nbd=127.0.0.1:0', 'http=127.0.0.1:0', `nbd=unix:${socket}`], data)
  const [nbd = '', http = ''] = await serving(server)
  t.match(JSON.parse((await atoll('status', '--json', '--data', data)).stdout), { http, nbd: [nbd, `unix:${socket}`] })

  const environment = await adminOf(data)
  t.equal(environment.OS_AUTH_URL, `http://${http}/v3`)
  const volume = await (await Api.login(environment)).createVolume()
  t.match(await nbdinfo('--size', `nbd+unix:///${volume}?socket=${socket}`), { stdout: `${2 ** 30}` })
  t.match(await nbdinfo('--list', `nbd+unix:///?socket=${socket}`), { stdout: new RegExp(`export="${volume}"`) })
  const tenant = await nbdinfo('--size', `nbd://${nbd}/${volume}`)
  t.not(tenant.exitCode, 0, 'TCP is the door of the tenants')

  await end(data)
  t.equal((await server).exitCode, 0)
  t.ok(existsSync(socket), 'the file of a socket that was passed in stays')

  // A client of libnbd's that starts the server itself, and names the export.
  const served = JSON.stringify([process.execPath, program, 'serve', '--data', data, '--log-level', 'warn'])
  const client = [
    'import nbd',
    'h = nbd.NBD()',
    `h.set_export_name("${volume}")`,
    `h.connect_systemd_socket_activation(${served})`,
    'print(h.get_size())',
  ]
  t.match(await execa('/usr/bin/python3', ['-c', client.join('\n')], { reject: false }), { stdout: `${2 ** 30}` })
})

t.test('who comes while no server runs is answered by the next one on the same sockets', async (t) => {
  const dir = scratch(t)
  const data = join(dir, 'data')
  const socket = join(dir, 's')
  const server = pass(['nbd=127.0.0.1:0', `=unix:${socket}`, 'http=127.0.0.1:0'], data, { launch: ['--times', '2'] })
  const [nbd = '', , http = ''] = await serving(server)
  const ended = untilItSays(server, /ended 0/)
  await end(data)
  await ended

  const clients = [connect(portOf(nbd)), connect(socket), connect(portOf(http))]
  await Promise.all(clients.map((client) => once(client, 'connect')))
  clients[2]?.write('GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const again = untilItSays(server, /"msg":"serving"/)
  server.stdin.write('\n')
  const answers = await Promise.all(clients.map(async (client) => String(await once(client, 'data'))))
  t.match(answers, [/^NBDMAGIC/, /^NBDMAGIC/, /^HTTP\/1\.1 200/])
  for (const client of clients) client.destroy()
  await again
  await end(data)
  t.equal((await server).exitCode, 0)
})

t.test('with sockets passed in, only what --nbd and --http say comes in addition', async (t) => {
  const dir = scratch(t)
  const data = join(dir, 'data')
  const own = join(dir, 'own')
  const passed = `unix:${join(dir, 's')}`
  const alone = pass([`nbd=${passed}`], data)
  await serving(alone)
  t.match(JSON.parse((await atoll('status', '--json', '--data', data)).stdout), { http: null, nbd: [passed] })
  t.match((await atoll('status', '--data', data)).stdout, /^ {2}HTTP {5}off$/m)
  await end(data)
  t.equal((await alone).exitCode, 0)

  rmSync(join(dir, 's'))
  const more = pass([`nbd=${passed}`], data, { serve: ['--nbd', `unix:${own}`, '--http', '127.0.0.1:0'] })
  await serving(more)
  t.match(JSON.parse((await atoll('status', '--json', '--data', data)).stdout), {
    http: /^127\.0\.0\.1:\d+$/,
    nbd: [passed, `unix:${own}`],
  })
  t.equal(statSync(own).mode & 0o777, 0o600)
  await end(data)
  t.equal((await more).exitCode, 0)
  t.notOk(existsSync(own))
})

t.test('sockets for another process are not taken, and that is said; --http none is no HTTP', async (t) => {
  const dir = scratch(t)
  const data = join(dir, 'data')
  const own = join(dir, 'own')
  const server = pass([`nbd=unix:${join(dir, 's')}`], data, {
    launch: ['--pid', '1'],
    serve: ['--nbd', `unix:${own}`, '--http', 'none'],
  })
  t.match(
    await untilItSays(server, /"msg":"serving"/),
    /sockets were passed to process 1, and this is \d+: they are ignored/,
  )
  t.match(JSON.parse((await atoll('status', '--json', '--data', data)).stdout), {
    http: null,
    nbd: [`unix:${own}`],
  })
  await end(data)
  t.equal((await server).exitCode, 0)
})

t.test('sockets that cannot be used keep the server from starting, with a line that says why', async (t) => {
  const dir = scratch(t)
  const data = join(dir, 'data')
  const cases: [string[], RegExp][] = [
    [['nbd=file:/dev/null'], /^atoll: a socket .*cannot be used: descriptor 3 is not a socket$/],
    [['=127.0.0.1:0', '=127.0.0.1:0'], /^atoll: socket activation: .* and .* have no name .*FileDescriptorName=/],
    [['htpp=127.0.0.1:0'], /^atoll: socket activation: descriptor 3 is named "htpp"; expected http, nbd or no name$/],
    [[`http=unix:${join(dir, 'h')}`], /is named http, and HTTP is served over TCP only$/],
    [['http=127.0.0.1:0', 'http=127.0.0.1:0'], /^atoll: socket activation: two sockets are named http/],
    [['nbd=0.0.0.0:0'], /^atoll: the socket passed in for 0\.0\.0\.0:\d+: NBD is not encrypted/],
  ]
  for (const [sockets, words] of cases) {
    const { exitCode, stderr } = await pass(sockets, data)
    t.equal(exitCode, 1, sockets.join(' '))
    t.match(stderr, words)
    t.equal(stderr.split('\n').length, 1)
  }
  t.notOk(existsSync(data))
})

t.test('the variables are read once, and gone for the children', async (t) => {
  const variables = { LISTEN_PID: '7', LISTEN_FDS: '0', LISTEN_FDNAMES: '', LISTEN_PIDFDID: '1' }
  const env: NodeJS.ProcessEnv = { ...variables, PATH: '/bin' }
  t.same(takeActivation(env, 7), { activation: undefined, warnings: [] })
  t.same(env, { PATH: '/bin' })
  t.same(takeActivation({ LISTEN_FDS: '1' }, 7).activation, undefined)
  for (const LISTEN_FDS of ['-1', '65', '1e1', ' 1', 'x', ''])
    t.throws(() => takeActivation({ LISTEN_PID: '7', LISTEN_FDS }, 7), /LISTEN_FDS is ".*", expected a number up to 64/)
  t.throws(
    () => takeActivation({ LISTEN_PID: '7', LISTEN_FDS: '1', LISTEN_FDNAMES: 'nbd:http' }, 7),
    /LISTEN_FDNAMES has 2 names for 1 sockets/,
  )
})

const { exitCode: absent } = await execa('systemd-analyze', ['--version'], { reject: false })
const skip = absent === 0 ? false : 'there is no systemd-analyze on this machine'
/** The units, with a program that exists on this machine: that is verified too. */
function unitsIn(dir: string): string[] {
  return ['atoll.service', 'atoll.socket', 'atoll-http.socket'].map((name) => {
    const path = join(dir, name)
    writeFileSync(path, readFileSync(join(units, name), 'utf8').replace('/usr/bin/node', process.execPath))
    return path
  })
}

t.test('systemd finds nothing wrong with the units', { skip }, async (t) => {
  const verified = await execa('systemd-analyze', ['verify', '--man=no', ...unitsIn(scratch(t))], {
    reject: false,
    all: true,
  })
  t.match(verified, { exitCode: 0, all: '' })
})

t.test(
  'systemd rates the sandbox of the service 2.5 of 10 or better, and starts it however often it fails',
  { skip },
  async (t) => {
    const [service = ''] = unitsIn(scratch(t))
    const security = ['security', '--offline=true', '--threshold=25', '--no-pager', service]
    const { exitCode, all } = await execa('systemd-analyze', security, { reject: false, all: true })
    t.equal(exitCode, 0, all)
    t.match(readFileSync(service, 'utf8'), /^\[Unit\][^[]*^StartLimitIntervalSec=0$/m)
  },
)
