// What the server tells the service manager that started it, by the datagrams that arrive at a socket of the test's own.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { execa } from 'execa'
import t from 'tap'
import { command } from '../../src/server/greeting.js'
import { atoll, program, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(120_000)

/** Node has no datagrams of unix sockets. Each one that arrives is a line of JSON, after a first line that says it listens. */
const listener = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
print('"listening"', flush=True)
while True: print(json.dumps(s.recv(65536).decode()), flush=True)
`

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'atoll-notify-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

for (const [what, addressIn] of [
  ['a path', (dir: string) => join(dir, 's')],
  ['an abstract name', (dir: string) => `@${dir}`],
] as const) {
  t.test(`the service manager, at ${what}, is notified when the server is ready and when it ends`, async (t) => {
    const address = addressIn(scratch())
    const manager = execa('python3', ['-c', listener, address], { reject: false, buffer: false })
    t.teardown(() => manager.kill())
    const lines = createInterface(manager.stdout)[Symbol.asyncIterator]()
    const told = async (): Promise<string> => JSON.parse((await lines.next()).value)
    t.equal(await told(), 'listening')

    const server = await startServerProcess(t, { environment: { NOTIFY_SOCKET: address } })
    t.equal(await told(), `STATUS=opening ${server.dataDir}`)
    const ready = (await told()).split('\n')
    t.equal(ready[0], 'READY=1')
    t.equal(
      ready[1],
      `STATUS=serving HTTP at ${new URL(server.url).host}, NBD at ${server.nbdAddress}, unix:${server.nbdSocket}`,
    )
    const socket = connect(server.nbdSocket)
    t.match(String(await new Promise((resolve) => socket.once('data', resolve))), /^NBDMAGIC/)
    socket.destroy()

    const stopped = server.stop()
    t.match(await told(), /^STOPPING=1\nSTATUS=\S/)
    await stopped
  })
}

t.test('a service manager that cannot be told anything is a warning, and the server serves', async (t) => {
  for (const [address, words] of [
    [
      join(scratch(), 'nobody'),
      /the service manager cannot be told.*No such file|No such file.*the service manager cannot/,
    ],
    ['vsock:2:1234', /NOTIFY_SOCKET is .*expected a path or @NAME/],
  ] as const) {
    const server = await startServerProcess(t, { environment: { NOTIFY_SOCKET: address } })
    t.match(await atoll('status', '--data', server.dataDir), { exitCode: 0 })
    t.match((await server.kill())?.all, words)
  }
})

t.test('the command that the greeting names runs where the greeting is read', async (t) => {
  const dir = scratch()
  const root = join(program, '../../..')
  const tried = async (words: string, cwd: string) => execa('sh', ['-c', `${words} --version`], { reject: false, cwd })
  const here = process.cwd()
  t.teardown(() => process.chdir(here))
  process.chdir(root)
  t.equal(command({ PATH: '/usr/bin:/bin' }, program), 'npx --no-install atoll')
  t.match(await tried(command({ PATH: '/usr/bin:/bin' }, program), root), { exitCode: 0 })
  process.chdir(dir)
  t.equal(command({ PATH: '/usr/bin:/bin' }, program), `node ${program}`)
  t.match(await tried(command({ PATH: '/usr/bin:/bin' }, program), dir), { exitCode: 0 })
  const { exitCode } = await execa('ln', ['-s', program, join(dir, 'atoll')])
  t.equal(exitCode, 0)
  t.equal(command({ PATH: `/bin:${dir}` }, program), 'atoll')
})
