import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { judgeNbd } from '../../src/server/nbd_tls.js'
import { type Given, resolveSettings } from '../../src/server/settings/settings.js'
import { atoll } from '../../testkit/server_process.js'

/** What is said against these settings; undefined: nothing. */
function complaint(given: Given): string | undefined {
  try {
    judgeNbd(resolveSettings(given, {}, undefined))
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

const cert = { 'nbd-tls-cert': 'c.pem', 'nbd-tls-key': 'k.pem' }
const required = { 'nbd-tls': 'required' }

t.test('combinations that make sense are accepted', async (t) => {
  const fine: Given[] = [
    {},
    { ...required, ...cert },
    { ...required, 'nbd-tls-psk': 'p' },
    { 'nbd-tls': 'opportunistic', ...cert, 'nbd-tls-psk': 'p', 'nbd-tls-ca': 'ca.pem' },
    { ...required, ...cert, 'nbd-tls-ca': 'ca.pem', 'nbd-tls-verify-peer': true, 'nbd-tls-priority': 'SECURE256' },
    { ...cert, nbd: ['127.0.0.1:1', 'unix:/x?tls=required'] },
  ]
  for (const given of fine) t.equal(complaint(given), undefined, JSON.stringify(given))
})

t.test('combinations that make no sense are refused, with what to do', async (t) => {
  const cases: [Given, RegExp][] = [
    [required, /^--nbd-tls: needs --nbd-tls-cert and --nbd-tls-key, or --nbd-tls-psk/],
    [{ nbd: ['unix:/x?tls=opportunistic'] }, /^--nbd-tls: needs/],
    [{ ...required, 'nbd-tls-cert': 'c.pem' }, /^--nbd-tls-cert: needs --nbd-tls-key/],
    [{ ...required, 'nbd-tls-key': 'k.pem', 'nbd-tls-psk': 'p' }, /^--nbd-tls-key: needs --nbd-tls-cert/],
    [{ ...required, 'nbd-tls-psk': 'p', 'nbd-tls-ca': 'ca.pem' }, /^--nbd-tls-ca: .*--nbd-tls-cert$/],
    [{ ...required, ...cert, 'nbd-tls-crl': 'crl.pem' }, /^--nbd-tls-crl: needs --nbd-tls-ca/],
    [{ ...required, ...cert, 'nbd-tls-verify-peer': true }, /^--nbd-tls-verify-peer: needs --nbd-tls-ca/],
    [
      { 'nbd-tls': 'opportunistic', ...cert, 'nbd-tls-ca': 'ca.pem', 'nbd-tls-verify-peer': true },
      /^--nbd-tls-verify-peer: keeps nobody out.*Say --nbd-tls required$/,
    ],
    [cert, /^--nbd-tls: is off at every address/],
    [{ 'nbd-tls-priority': 'NORMAL' }, /^--nbd-tls: is off at every address/],
  ]
  for (const [given, words] of cases) t.match(complaint(given), words, JSON.stringify(given))
})

t.test('beyond loopback NBD listens where TLS is required, and not where it can be avoided', async (t) => {
  const nbd = ['0.0.0.0:10809']
  t.match(complaint({ nbd }), /^--nbd 0\.0\.0\.0:10809: NBD is not encrypted.*--nbd-tls required/)
  t.match(complaint({ nbd, 'nbd-tls': 'opportunistic', ...cert }), /NBD is not encrypted/)
  t.match(complaint({ nbd: ['0.0.0.0:1?tls=off'], ...required, ...cert }), /files for it/)
  t.match(complaint({ nbd: ['0.0.0.0:1?tls=off', '127.0.0.1:1'], ...required, ...cert }), /NBD is not encrypted/)
  t.equal(complaint({ nbd, ...required, ...cert }), undefined)
  t.equal(complaint({ nbd: ['0.0.0.0:1?tls=required', '127.0.0.1:1'], ...cert }), undefined)
  t.equal(complaint({ nbd, 'nbd-insecure-allow-remote': true }), undefined)
})

t.test('files that cannot be used keep the server from starting, with a line that says which and why', async (t) => {
  const dir = t.testdir({ open: `alice:${'ab'.repeat(32)}\n`, empty: '', broken: 'alice: no key\n' })
  const path = (name: string) => join(dir, name)
  chmodSync(path('open'), 0o644)
  chmodSync(path('empty'), 0o600)
  chmodSync(path('broken'), 0o600)
  const serve = (file: string) =>
    atoll(
      ...['serve', '--data', path('data'), '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0'],
      ...['--nbd-tls', 'required', '--nbd-tls-psk', path(file), '--log-level', 'silent'],
    )
  const cases: [string, RegExp][] = [
    ['open', /^atoll: TLS for NBD: .*open: it holds a secret, and every user of this machine may read/],
    ['empty', /^atoll: TLS for NBD: .*empty: it is empty$/],
    ['missing', /^atoll: TLS for NBD: .*missing: ENOENT/],
    ['broken', /^atoll: TLS for NBD cannot be set up: line 1 of the pre-shared keys is not USER:HEXKEY/],
  ]
  for (const [file, words] of cases) {
    const { exitCode, stderr } = await serve(file)
    t.equal(exitCode, 1, file)
    t.match(stderr, words)
    t.notMatch(stderr, 'abab', 'no key is shown')
  }
  writeFileSync(path('priority'), `alice:${'ab'.repeat(32)}\n`, { mode: 0o600 })
  const { stderr } = await atoll(
    ...['serve', '--data', path('data'), '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0', '--log-level', 'silent'],
    ...['--nbd-tls', 'required', '--nbd-tls-psk', path('priority'), '--nbd-tls-priority', 'NORMAL:+NONSENSE'],
  )
  t.match(stderr, /"NORMAL:\+NONSENSE" is wrong at "\+NONSENSE"/)
  t.ok(existsSync(path('data')))
})
