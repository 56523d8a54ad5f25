import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { untilItSays } from '../../testkit/process_output.js'
import { startServerProcess } from '../../testkit/server_process.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

function atoll(args: string[], { input = '', env = {} }: { input?: string; env?: Record<string, string> } = {}) {
  return execa('node', [program, ...args], { reject: false, input, env, timeout: 60_000, forceKillAfterDelay: 1000 })
}

t.test('help and version are given and are no errors', async (t) => {
  const help = await atoll(['--help'])
  t.equal(help.exitCode, 0)
  for (const command of ['serve', 'check', 'status', 'reconnect', 'user'])
    t.match(help.stdout, new RegExp(`^ {2}${command}\\b`, 'm'))
  const serve = await atoll(['serve', '--help'])
  t.equal(serve.exitCode, 0)
  for (const flag of ['--data', '--http', '--nbd', '--cache', '--io', '--log-level', '--config'])
    t.match(serve.stdout, flag)
  t.match((await atoll(['--version'])).stdout, /^\d+\.\d+\.\d+/)
})

t.test('nobody has to read on what is printed', async (t) => {
  for (const args of [['serve', '--help'], ['frobnicate']]) {
    const child = execa('node', [program, ...args], { reject: false, timeout: 60_000 })
    // Before the program is there to write.
    child.stdout?.destroy()
    const { exitCode, stderr } = await child
    t.equal(exitCode, args[0] === 'serve' ? 0 : 1)
    t.notMatch(stderr, /EPIPE/)
  }
})

t.test('a command whose output does not fit on the disk fails', async (t) => {
  const { exitCode, stderr } = await execa('sh', ['-c', 'exec node "$@" >/dev/full', 'sh', program, '--version'], {
    reject: false,
  })
  t.equal(exitCode, 2)
  t.equal(stderr, '')
})

t.test('a server goes on without its log, and ends in order', async (t) => {
  const dir = t.testdir()
  const runs = [
    { name: 'nobody reads it from the start, json', log: 'json', into: '&1', readUntil: 'start' },
    { name: 'nobody reads it from the start, pretty', log: 'pretty', into: '&1', readUntil: 'start' },
    { name: 'nobody reads its end, json', log: 'json', into: '&1', readUntil: 'serving' },
    { name: 'nobody reads its end, pretty', log: 'pretty', into: '&1', readUntil: 'serving' },
    { name: 'it lies on a full disk', log: 'json', into: '/dev/full', readUntil: 'serving' },
    { name: 'it lies on a full disk, pretty', log: 'pretty', into: '/dev/full', readUntil: 'serving' },
  ] as const
  for (const [i, { name, log, into, readUntil }] of runs.entries()) {
    const data = join(dir, `${i}`)
    const args = ['serve', '--data', data, '--http', 'none', '--nbd', '127.0.0.1:0', '--log', log]
    const shell = ['-c', `exec node "$@" >${into}`, 'sh', program, ...args]
    const child = execa('sh', shell, { reject: false, forceKillAfterDelay: false })
    t.teardown(() => child.kill('SIGKILL'))
    if (readUntil === 'start') child.stdout?.destroy()
    let status = await atoll(['status', '--data', data])
    while (status.exitCode !== 0 && child.exitCode === null) status = await atoll(['status', '--data', data])
    t.match(status.stdout, /engine/, name)
    child.stdout?.destroy()
    child.kill('SIGTERM')
    const { exitCode, stderr } = await child
    t.equal(exitCode, 0, name)
    t.equal(stderr, '', name)
  }
})

t.test('what is wrong with a command line is said in a line, and nothing is made', async (t) => {
  const data = join(t.testdir(), 'data')
  const cases: [string[], RegExp][] = [
    [['serve', '--data', data, '--cache', 'none'], /^atoll: --cache: expected buffered or direct, got "none"$/],
    [
      ['serve', '--data', data, '--http', 'nowhere'],
      /^atoll: --http: expected HOST:PORT or \[IPV6\]:PORT, or none, got "nowhere"$/,
    ],
    [
      ['serve', '--data', data, '--nbd', '0.0.0.0:10809'],
      /^atoll: --nbd 0\.0\.0\.0:10809: NBD is not encrypted.*--nbd-insecure-allow-remote$/,
    ],
    [
      ['serve', '--data', data, '--config', '/nowhere.yaml'],
      /^atoll: cannot read the configuration file \/nowhere\.yaml: ENOENT/,
    ],
    [
      ['user', 'create', 'x', '--project', 'p', '--data', data],
      /^atoll: expected either --password-file FILE or --password-stdin$/,
    ],
    [
      ['user', 'create', 'x', '--project', 'p', '--password-stdin', '--data', data],
      /^atoll: there is no data directory/,
    ],
  ]
  for (const [args, words] of cases) {
    const { exitCode, stderr, stdout } = await atoll(args, { input: 'secret\n' })
    t.equal(exitCode, 1, args.join(' '))
    t.match(stderr, words)
    t.equal(stderr.split('\n').length, 1)
    t.equal(stdout, '')
  }
  t.notOk(existsSync(data))
  t.equal((await atoll(['frobnicate'])).exitCode, 1)
  t.equal((await atoll(['check', '--data', data])).exitCode, 2)
  t.equal((await atoll(['status', '--data', data])).exitCode, 2)
})

t.test('a server: its status, a second one, users made beside it, its end', async (t) => {
  const server = await startServerProcess(t)
  const data = server.dataDir

  const status = await atoll(['status', '--data', data])
  t.equal(status.exitCode, 0)
  t.match(status.stdout, new RegExp(`serves ${data}`))
  t.match(status.stdout, /0 volumes, 0 snapshots, 0 images, 0 objects/)
  t.match(JSON.parse((await atoll(['status', '--json', '--data', data])).stdout), { data, counts: { volumes: 0 } })

  const second = await atoll(['serve', '--data', data, '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0'])
  t.equal(second.exitCode, 1)
  t.match(second.stderr, new RegExp(`^atoll: the data directory ${data} is in use by another Atoll \\(process \\d+\\)`))
  t.equal((await atoll(['check', '--data', data])).exitCode, 2, 'a store in use is not checked')

  const file = join(t.testdir(), 'password')
  writeFileSync(file, 'from a file\nmore lines do not count')
  const made = await atoll([
    'user',
    'create',
    'ann',
    '--project',
    'lab',
    '--role',
    'member',
    '--password-file',
    file,
    '--data',
    data,
  ])
  t.equal(made.exitCode, 0, made.stderr)
  t.match(made.stdout, /^user ann \([0-9a-f]{32}\) has the role member in project lab$/)
  const piped = ['user', 'create', 'bea', '--project', 'lab', '--role', 'reader', '--password-stdin', '--data', data]
  t.equal((await atoll(piped, { input: 'from a pipe\n' })).exitCode, 0)
  t.match(await atoll(piped, { input: 'from a pipe\n' }), {
    exitCode: 1,
    stderr: 'atoll: there is already a user named bea',
  })

  const openrc = await server.environment()
  await t.resolves(Api.login(openrc), 'the admin logs in by what the first start wrote down')
  for (const [OS_USERNAME, OS_PASSWORD] of [
    ['ann', 'from a file'],
    ['bea', 'from a pipe'],
  ] as const) {
    await t.resolves(Api.login({ ...openrc, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME: 'lab' }), OS_USERNAME)
  }

  await server.stop()
  t.match(await atoll(['status', '--data', data]), { exitCode: 1, stdout: `no server is running on ${data}` })
  const check = await atoll(['check', '--data', data])
  t.match(check, { exitCode: 0, stdout: /: clean \(/ })
})

t.test('check finds what is wrong in the catalog, says it, and with --repair puts right what it can', async (t) => {
  const server = await startServerProcess(t)
  const api = await Api.login(await server.environment())
  const volume = await api.createVolume({})
  await server.stop()
  const clean = await atoll(['check', '--data', server.dataDir])
  t.equal(clean.exitCode, 0, clean.stdout)

  const catalog = new Database(join(server.dataDir, 'catalog.db'))
  catalog.prepare('delete from volumes where id = ?').run(volume)
  catalog.prepare('insert into layers values (500, null, 0, 0, ?, 0)').run('live')
  catalog.prepare('insert into layers values (501, 500, 0, 0, ?, 0)').run('live')
  catalog.close()
  const broken = await atoll(['check', '--json', '--data', server.dataDir])
  t.equal(broken.exitCode, 1)
  const words = JSON.parse(broken.stdout).findings.map(({ message }: { message: string }) => message)
  t.match(words, [/^layer 500 has a child but is not sealed$/, /^the resource .* belongs to no /])

  const repaired = await atoll(['check', '--repair', '--data', server.dataDir])
  t.equal(repaired.exitCode, 1, 'the resource of nobody is left')
  t.match(repaired.stdout, /^repaired: layer 500 is sealed$/m)
  t.match(repaired.stdout, /^wrong: the resource .* belongs to no .* \[resource_unowned\]\n {2}to do: /m)
  const rest = new Database(join(server.dataDir, 'catalog.db'))
  const resource = rest.prepare('select id from resources').pluck().get()
  rest.prepare("insert into sequences values ('x', 1)").run()
  rest.prepare('update layers set sealed = 0 where id = 500').run()
  rest.prepare('delete from resources where id = ?').run(resource)
  rest.close()
  t.match(await atoll(['check', '--repair', '--verify-data', '--data', server.dataDir]), {
    exitCode: 0,
    stdout: /^repaired: layer 500 is sealed\ndata files: 0 bytes .*\n.*: clean \(/,
  })

  writeFileSync(join(server.dataDir, 'format'), 'atoll data directory\nformat 99\n')
  t.match(await atoll(['check', '--data', server.dataDir]), { exitCode: 2, stderr: /format 99/ })
})

t.test('on a terminal, or when asked, the server says in words where it is and what to try', async (t) => {
  const data = join(t.testdir(), 'data')
  const serving = execa(
    'node',
    [program, 'serve', '--data', data, '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0', '--log', 'pretty'],
    { reject: false },
  )
  const text = await untilItSays(serving, /atoll status/)
  t.match(text, new RegExp(`Atoll is serving ${data}`))
  t.match(text, /HTTP {3}http:\/\/127\.0\.0\.1:\d+/)
  t.match(text, `. ${join(data, 'openrc', 'admin.sh')}`)
  t.match(text, 'openstack token issue')
  t.ok(data.length > 107, 'a path that is too long for a socket')
  t.match(await atoll(['status', '--data', data]), { exitCode: 0, stdout: `serves ${data}` })
  serving.kill('SIGTERM')
  t.match(await serving, { exitCode: 0 })
})

t.test('an address that is taken is said, and the directory is free again', async (t) => {
  const server = await startServerProcess(t)
  const data = join(t.testdir(), 'data')
  const http = server.url.replace('http://', '')
  const refused = await atoll(['serve', '--data', data, '--http', http, '--nbd', '127.0.0.1:0'])
  t.match(refused, { exitCode: 1, stderr: new RegExp(`^atoll: cannot listen on ${http}: `) })
  const nbd = await atoll(['serve', '--data', data, '--http', '127.0.0.1:0', '--nbd', server.nbdAddress])
  t.match(nbd, { exitCode: 1, stderr: new RegExp(`^atoll: cannot listen on ${server.nbdAddress}: `) })
  const check = await atoll(['check', '--data', data])
  t.equal(check.exitCode, 0, check.stdout + check.stderr)
})
