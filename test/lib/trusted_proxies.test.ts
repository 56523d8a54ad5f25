import t from 'tap'
import { clientOf, parseTrustedProxies } from '../../src/lib/trusted_proxies.js'

t.test('proxies are trusted by address, network and name', async (t) => {
  const cases: [setting: unknown, trusted: string[], others: string[]][] = [
    ['10.0.0.7', ['10.0.0.7', '::ffff:10.0.0.7'], ['10.0.0.8', '::1', 'unknown', '', '10.0.0.7:80']],
    ['10.0.0.0/8, 2001:db8::/32', ['10.255.0.1', '2001:db8:1::1'], ['11.0.0.1', '2001:db9::1']],
    [['192.168.0.0/16', '::1'], ['192.168.3.4', '::1'], ['127.0.0.1']],
    ['loopback', ['127.0.0.1', '127.9.9.9', '::1'], ['128.0.0.1', '10.0.0.1']],
    ['linklocal', ['169.254.1.1', 'fe80::1'], ['127.0.0.1']],
    ['uniquelocal,loopback', ['10.1.1.1', '172.16.0.1', '192.168.0.1', 'fd00::1', '::1'], ['172.32.0.1', '8.8.8.8']],
    ['0.0.0.0/0', ['8.8.8.8'], ['::1']],
  ]
  for (const [setting, trusted, others] of cases) {
    const trusts = parseTrustedProxies(setting)
    for (const address of trusted) t.equal(trusts(address, 3), true, `${setting}: ${address}`)
    for (const address of others) t.equal(trusts(address, 0), false, `${setting}: ${address}`)
    t.equal(trusts(undefined, 0), false)
  }
})

t.test('a number trusts so many hops, and nothing trusts nobody', async (t) => {
  for (const setting of [2, '2']) {
    const trusts = parseTrustedProxies(setting)
    t.same(
      [0, 1, 2, 3].map((hop) => trusts('8.8.8.8', hop)),
      [true, true, false, false],
    )
  }
  for (const setting of [0, '0', false, 'false']) t.equal(parseTrustedProxies(setting)('127.0.0.1', 0), false)
})

t.test('what names no proxies is refused with what to write, "true" among it', async (t) => {
  const wrong = [true, 'true', 'yes', '', ' ', 'proxy.example.org', '10.0.0.0/33', '::/129', '10.0.0', '17', -1, 1.5]
  for (const setting of [...wrong, [], ['loopback', 3], {}, null, 'loopback,', 'fe80::1%eth0', '1,2', 'hasOwn'])
    t.throws(
      () => parseTrustedProxies(setting),
      { message: /^expected the proxies' addresses such as .* or their number from 1 to 16, got / },
      JSON.stringify(setting),
    )
})

t.test('a client is an IPv4 address or the /64 of an IPv6 address', async (t) => {
  const cases: [string | undefined, string][] = [
    ['10.0.0.7', '10.0.0.7'],
    ['::ffff:10.0.0.7', '10.0.0.7'],
    ['::ffff:a00:7', '10.0.0.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002:ffff::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::10.0.0.7', '64:ff9b:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
    ['', 'unknown'],
    [undefined, 'unknown'],
    ['x'.repeat(30_000), 'unknown'],
  ]
  for (const [address, client] of cases) t.equal(clientOf(address), client, String(address).slice(0, 40))
})
