// Clients over TCP whose machine is gone: no FIN, no RST, nothing. They are in a network namespace whose link is taken down.

import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { freePort } from '../../testkit/ports.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(120_000)

t.test('peers that vanish without a word are given up, idle or in the middle of answers; others go on', async (t) => {
  // Of a network that is for tests alone (RFC 2544), and a name of this process.
  const space = `atoll-${process.pid}`
  const [ours, theirs] = [`ato${process.pid}`, `atc${process.pid}`]
  const [serverAddress, clientAddress] = ['198.18.77.1', '198.18.77.2']
  const ip = (...args: string[]) => execa('ip', args)
  await ip('netns', 'add', space)
  t.teardown(() => ip('netns', 'del', space)) // the link goes with it
  await ip('link', 'add', ours, 'type', 'veth', 'peer', 'name', theirs, 'netns', space)
  await ip('addr', 'add', `${serverAddress}/30`, 'dev', ours)
  await ip('link', 'set', ours, 'up')
  await ip('-n', space, 'addr', 'add', `${clientAddress}/30`, 'dev', theirs)
  await ip('-n', space, 'link', 'set', theirs, 'up')

  const port = await freePort()
  const doors = ['--nbd', `${serverAddress}:${port}`, '--nbd-insecure-allow-remote', '--nbd-peer-timeout', '3']
  const server = await startServerProcess(t, { arguments: doors })
  const api = await Api.login(await server.environment())
  const volume = await api.createVolume()
  const { uri } = await api.attach(volume)
  const remote = new URL(uri)
  remote.host = `${serverAddress}:${port}`

  const client = (script: string) => {
    const lines = ['import nbd, time', 'h = nbd.NBD()', `h.connect_uri('${remote}')`, script]
    const python = ['/usr/bin/python3', '-c', `${lines.join('\n')}\nprint('ready', flush=True)\ntime.sleep(1000)`]
    const run = execa('ip', ['netns', 'exec', space, ...python], { reject: false })
    t.teardown(() => run.kill('SIGKILL'))
    return new Promise<void>((resolve, reject) => {
      run.stdout.on('data', () => resolve())
      run.then(({ all, stderr }) => reject(new Error(`the client ended: ${all ?? stderr}`)), reject)
    })
  }
  const begun = (await server.counters()).connections
  await client('h.pread(4096, 0)')
  // Answers that it does not take fill the sockets of both sides.
  await client("h.pwrite(b'x' * (1 << 20), 0)\nfor i in range(64): h.aio_pread(nbd.Buffer(1 << 20), 0)")
  t.equal((await server.counters()).connections, begun + 2)
  await ip('-n', space, 'link', 'set', theirs, 'down')
  const vanished = performance.now()
  while ((await server.counters()).connections > begun) await new Promise(setImmediate)
  t.ok(performance.now() - vanished < 60_000)
  await nbdsh(server.operatorUri(volume), "assert bytes(h.pread(4096, 0)) == b'x' * 4096")
})
