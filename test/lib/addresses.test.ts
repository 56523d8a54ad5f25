import t from 'tap'
import { formatHostPort, isLoopback, parseHostPort, parseListenAddress } from '../../src/lib/addresses.js'

t.test('hosts and ports are read, IPv6 in brackets', async (t) => {
  t.same(parseHostPort('127.0.0.1:80'), { host: '127.0.0.1', port: 80 })
  t.same(parseHostPort('[::1]:0'), { host: '::1', port: 0 })
  t.same(parseHostPort('box.example.org:65535'), { host: 'box.example.org', port: 65535 })
  t.same(parseListenAddress('unix:/run/a b.sock'), { kind: 'unix', path: '/run/a b.sock' })
  t.same(parseListenAddress('localhost:1'), { kind: 'tcp', host: 'localhost', port: 1 })
})

t.test('what is read is written back as it was', async (t) => {
  for (const text of ['127.0.0.1:80', '[::1]:0', 'localhost:10809']) t.equal(formatHostPort(parseHostPort(text)), text)
})

t.test('an address may say what it does about TLS', async (t) => {
  t.same(parseListenAddress('[::1]:2?tls=required'), { kind: 'tcp', host: '::1', port: 2, tls: 'required' })
  t.same(parseListenAddress('unix:/x?tls=opportunistic'), { kind: 'unix', path: '/x', tls: 'opportunistic' })
  t.same(parseListenAddress('unix:/x?y'), { kind: 'unix', path: '/x?y' })
  for (const text of ['localhost:1?tls=', 'localhost:1?tls=on', 'unix:?tls=off'])
    t.throws(() => parseListenAddress(text), { code: 'bad_address' }, text)
})

t.test('what is no address is refused with the address in the words', async (t) => {
  for (const text of ['', '80', ':80', 'host', 'host:', 'host:65536', '::1:80', '[host]:80', 'a b:1', 'unix:']) {
    t.throws(() => parseListenAddress(text), { code: 'bad_address' }, JSON.stringify(text))
  }
})

t.test('only what surely stays on this machine is loopback', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) t.ok(isLoopback(host), host)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'localhost.example.org', '::ffff:10.0.0.1']) {
    t.notOk(isLoopback(host), host)
  }
})
