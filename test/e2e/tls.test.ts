// TLS between real clients and a real server: libnbd's and QEMU's of two generations, with certificates and with pre-shared keys.

import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import t from 'tap'
import type { StatusReport } from '../../src/server/control.js'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { type Certificate, issue, makeAuthority, revoke } from '../../testkit/certificates.js'
import { bootNbdGuest, hostAddress } from '../../testkit/guest/nbd_guest.js'
import { generations, hostClients, type NbdClients, tool } from '../../testkit/nbd_tools.js'
import { atoll, type ServerProcess, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(300_000)

const dir = t.testdir()
const authority = await makeAuthority(dir, 'authority')
const other = await makeAuthority(dir, 'other authority')
const own = await issue(authority, 'server', { dir: join(dir, 'server'), name: 'server' })
// What clients are given, with the names of files that libnbd and QEMU agree on.
const anonymous = await clientFolder('anonymous')
const known = await clientFolder('known', authority)
const stranger = await clientFolder('stranger', other)
const revoked = await clientFolder('revoked', authority)
const revocations = join(dir, 'crl.pem')
await revoke(authority, [], revocations)
const keys = join(dir, 'keys.psk')
const wrongKeys = join(dir, 'wrong', 'keys.psk')
await mkdir(join(dir, 'wrong'))
await writeFile(keys, `alice:${'0123456789abcdef'.repeat(4)}\n`, { mode: 0o600 })
await writeFile(wrongKeys, `alice:${'0123456789abcdee'.repeat(4)}\n`, { mode: 0o600 })

async function clientFolder(name: string, signer?: typeof authority): Promise<string> {
  const folder = join(dir, 'clients', name)
  await mkdir(folder, { recursive: true })
  await copyFile(authority.certificate, join(folder, 'ca-cert.pem'))
  if (signer) await issue(signer, 'client', { dir: folder, name: 'client' })
  return folder
}

// Certificates and keys at once, on io_uring; certificates of clients required, on threads.
const files = ['--nbd-tls-cert', own.certificate, '--nbd-tls-key', own.key]
const open = await startServerProcess(t, {
  arguments: [...files, '--nbd-tls', 'required', '--nbd-tls-psk', keys, '--nbd', '127.0.0.1:0?tls=opportunistic'],
})
const closed = await startServerProcess(t, {
  arguments: [
    ...files,
    ...['--nbd-tls', 'required', '--nbd-tls-ca', authority.certificate, '--nbd-tls-verify-peer'],
    ...['--nbd-tls-crl', revocations],
    ...['--io', 'threads'],
  ],
})

interface Volume {
  uri: string
  port: string
  name: string
}

async function attach(server: ServerProcess): Promise<Volume> {
  const api = await Api.login(await server.environment())
  const { uri } = await api.attach(await api.createVolume({}))
  const { port, pathname } = new URL(uri)
  return { uri, port, name: pathname.slice(1) }
}

async function status(server: ServerProcess): Promise<StatusReport> {
  return JSON.parse((await atoll('status', '--json', '--data', server.dataDir)).stdout)
}

async function until(server: ServerProcess, isSo: (tls: NonNullable<StatusReport['tls']>) => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(50)) {
    const { tls } = await status(server)
    if (tls && isSo(tls)) return
  }
  throw new Error(`not within 30 s: ${JSON.stringify((await status(server)).tls)}`)
}

/** Returns what the client prints when it is refused. */
async function refusal(clients: NbdClients, program: string, args: string[]): Promise<string> {
  const { exitCode, all } = await execa(...clients.command(program, args), {
    all: true,
    reject: false,
    stdin: 'ignore',
    timeout: 60_000,
  })
  if (exitCode === 0) throw new Error(`${program} ${args.join(' ')} was not refused:\n${all}`)
  return all
}

const byCertificate = (folder: string) => ({
  query: `?tls-certificates=${folder}`,
  user: '',
  object: `tls-creds-x509,id=tls0,endpoint=client,dir=${folder}`,
})
const byKey = (file: string, user = 'alice') => ({
  query: `?tls-psk-file=${file}`,
  user: `${user}@`,
  object: `tls-creds-psk,id=tls0,endpoint=client,dir=${join(file, '..')},username=${user}`,
})
type Way = ReturnType<typeof byCertificate>

const libnbdUri = ({ uri }: Volume, { user, query }: Way) => uri.replace('nbds://', `nbds://${user}`) + query
const qemuOptions = ({ port, name }: Volume, { object }: Way) => [
  ...['--object', object, '--image-opts'],
  `driver=nbd,host=127.0.0.1,port=${port},export=${name},tls-creds=tls0`,
]

async function thereAndBack(clients: NbdClients, volume: Volume, way: Way): Promise<void> {
  const source = join(dir, 'source')
  const back = join(dir, 'back')
  await tool('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=24', 'status=none'])
  const uri = libnbdUri(volume, way)
  await clients.run('nbdcopy', ['--connections=4', '--requests=64', '--flush', source, uri])
  await clients.run('nbdcopy', ['--connections=4', '--requests=64', uri, back])
  await tool('cmp', ['--bytes', String(24 * MiB), source, back])
}

async function patterns(clients: NbdClients, volume: Volume, way: Way): Promise<void> {
  const commands = ['write -P 0xa5 0 3M', 'write -z 64k 64k', 'discard 1M 64k', 'flush', 'read -P 0xa5 0 64k']
  commands.push('read -P 0 64k 64k', 'read -P 0 1M 64k', 'read -P 0xa5 2M 1M')
  const said = await clients.run('qemu-io', [
    ...qemuOptions(volume, way),
    ...commands.flatMap((command) => ['-c', command]),
  ])
  if (/failed|error/i.test(said)) throw new Error(said)
}

t.test('an attachment names nbds:// where TLS is required, and says what a client must bring', async (t) => {
  const api = await Api.login(await closed.environment())
  const made = await api.attach(await api.createVolume({}))
  t.match(made.uri, /^nbds:\/\/127\.0\.0\.1:\d+\/[\w-]{43}$/)
  t.same(made.tls, { mode: 'required', x509: true, client_certificate: 'required', psk: false })
  const words = await atoll('status', '--data', closed.dataDir)
  t.match(words.stdout, /NBD +127\.0\.0\.1:\d+ \(TLS required\)/)
  t.match(words.stdout, /TLS +certificate CN=server of authority, valid to \d{4}-.*certificates of clients required/)
})

for (const clients of generations)
  for (const [server, name, way] of [
    [open, 'a certificate of the server', byCertificate(anonymous)],
    [open, 'a pre-shared key', byKey(keys)],
    [closed, 'certificates of both', byCertificate(known)],
  ] as const)
    t.test(`${clients.name} with ${name}: nbdinfo, nbdcopy there and back, qemu-io, qemu-img`, async (t) => {
      const volume = await attach(server)
      t.match(await clients.run('nbdinfo', [libnbdUri(volume, way)]), /protocol: newstyle-fixed with TLS/)
      await thereAndBack(clients, volume, way)
      await patterns(clients, volume, way)
      t.match(await clients.run('qemu-img', ['info', ...qemuOptions(volume, way)]), /virtual size: 1 GiB/)
      const script = 'print(h.get_tls_negotiated(), len(h.pread(1 << 20, 12345)))'
      t.match(await clients.nbdsh(libnbdUri(volume, way), script, { localFiles: true }), 'True 1048576')
    })

for (const clients of generations) {
  t.test(
    `${clients.name}: a wrong key, an unknown user, an unknown authority: refused by libnbd and QEMU`,
    async (t) => {
      const volume = await attach(open)
      const foreign = await clientFolder('foreign')
      await copyFile(other.certificate, join(foreign, 'ca-cert.pem'))
      for (const way of [byKey(wrongKeys), byKey(keys, 'mallory'), byCertificate(foreign)]) {
        t.match(await refusal(clients, 'nbdinfo', [libnbdUri(volume, way)]), /nbdinfo:/)
        t.match(await refusal(clients, 'qemu-img', ['info', ...qemuOptions(volume, way)]), /qemu-img:/)
      }
    },
  )

  t.test(
    `${clients.name}: without the client certificate that the server requires, and with one of another authority: refused`,
    async (t) => {
      const volume = await attach(closed)
      for (const folder of [anonymous, stranger]) {
        t.match(await refusal(clients, 'nbdinfo', [libnbdUri(volume, byCertificate(folder))]), /nbdinfo:/)
        t.match(
          await refusal(clients, 'qemu-img', ['info', ...qemuOptions(volume, byCertificate(folder))]),
          /qemu-img:/,
        )
      }
      await clients.run('nbdinfo', [libnbdUri(volume, byCertificate(known))])
    },
  )

  t.test(`${clients.name}: a plain client is told that TLS is required`, async (t) => {
    const volume = await attach(open)
    const plain = volume.uri.replace('nbds://', 'nbd://')
    t.match(await refusal(clients, 'nbdinfo', [plain]), /TLS/i)
    t.match(await refusal(clients, 'qemu-img', ['info', plain]), /TLS/i)
  })
}

t.test('a client’s certificate that its authority revokes is refused from then on, without a restart', async (t) => {
  const volume = await attach(closed)
  t.match(await tool('nbdinfo', [libnbdUri(volume, byCertificate(revoked))]), /with TLS/)
  const before = await status(closed)
  await revoke(authority, [join(revoked, 'client-cert.pem')], revocations)
  await until(closed, ({ readAt, problem }) => readAt > (before.tls?.readAt ?? Infinity) && problem === null)
  t.match(await refusal(hostClients, 'nbdinfo', [libnbdUri(volume, byCertificate(revoked))]), /nbdinfo:/)
  t.match(await tool('nbdinfo', [libnbdUri(volume, byCertificate(known))]), /with TLS/)
})

t.test('opportunistic: the same export with TLS and without; the unix socket has none', async (t) => {
  const volume = await attach(open)
  const { nbd, nbdTls } = await status(open)
  const port = nbd[nbdTls.indexOf('opportunistic')]?.split(':')[1]
  if (port === undefined) throw new Error('no opportunistic listener')
  const plain = `nbd://127.0.0.1:${port}/${volume.name}`
  t.match(await tool('nbdinfo', [plain]), /newstyle-fixed without TLS/)
  const secure = libnbdUri({ ...volume, uri: plain.replace('nbd://', 'nbds://') }, byCertificate(anonymous))
  t.match(await tool('nbdinfo', [secure]), /newstyle-fixed with TLS/)
  await patterns(hostClients, { ...volume, port }, byCertificate(anonymous))
  t.equal(nbdTls[nbd.findIndex((address) => address.startsWith('unix:'))], 'off')
})

t.test('stalled and senseless handshakes cost other clients nothing', async (t) => {
  const volume = await attach(open)
  const greeting = Buffer.from([0, 0, 0, 3])
  const startTls = Buffer.from('49484156454f50540000000500000000', 'hex')
  const begin = async (then: Buffer) => {
    const socket = connect(Number(volume.port), '127.0.0.1')
    socket.on('error', () => {}) // a reset is an answer too
    // From here on: the server may be done with this one while others are still beginning.
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.write(Buffer.concat([greeting, startTls]))
    let received = 0
    await new Promise<void>((resolve) =>
      socket.on('data', (bytes) => {
        received += bytes.length
        if (received >= 18 + 20) resolve()
      }),
    )
    socket.write(then)
    return { socket, closed }
  }
  const stalled = await Promise.all(Array.from({ length: 40 }, () => begin(Buffer.from([0x16, 3, 1, 2, 0]))))
  const senseless = await Promise.all(Array.from({ length: 20 }, (_, i) => begin(Buffer.alloc(40_000, i * 13 + 1))))
  await Promise.all(senseless.map(({ closed }) => closed))
  t.match(await tool('nbdinfo', [libnbdUri(volume, byCertificate(anonymous))]), /with TLS/)
  for (const { socket } of stalled) {
    t.notOk(socket.closed)
    socket.destroy()
  }
})

t.test('certificates are replaced without a restart; broken ones are not taken, and said', async (t) => {
  const volume = await attach(open)
  const way = byCertificate(anonymous)
  const trustsOther = await clientFolder('trusting-other')
  await copyFile(other.certificate, join(trustsOther, 'ca-cert.pem'))
  const script = ['import sys', 'for line in sys.stdin: print(len(h.pread(4096, 0)), flush=True)'].join('\n')
  const held = execa('/usr/bin/python3', ['-c', holding(libnbdUri(volume, way), script)], { reject: false })
  t.teardown(() => held.kill())
  const answers = held[Symbol.asyncIterator]()
  const asks = async () => {
    held.stdin.write('\n')
    return (await answers.next()).value
  }
  t.equal(await asks(), '4096')

  await replace(await issue(other, 'server', { dir: join(dir, 'next'), name: 'next' }))
  await until(
    open,
    ({ certificate, problem }) => certificate?.subject === 'CN=next of other authority' && problem === null,
  )
  t.match(await refusal(hostClients, 'nbdinfo', [libnbdUri(volume, way)]), /nbdinfo:/)
  t.match(await tool('nbdinfo', [libnbdUri(volume, byCertificate(trustsOther))]), /with TLS/)
  t.equal(await asks(), '4096', 'a connection that was there goes on')

  await writeFile(own.certificate, 'nothing of use')
  await until(open, ({ problem }) => problem?.includes('the certificate cannot be read') === true)
  t.match(await tool('nbdinfo', [libnbdUri(volume, byCertificate(trustsOther))]), /with TLS/)

  await replace(await issue(authority, 'server', { dir: join(dir, 'last'), name: 'last' }))
  await until(open, ({ certificate, problem }) => certificate?.subject === 'CN=last of authority' && problem === null)
  t.match(await tool('nbdinfo', [libnbdUri(volume, way)]), /with TLS/)

  const before = await status(open)
  process.kill(before.process, 'SIGHUP')
  await until(open, ({ readAt }) => readAt > (before.tls?.readAt ?? Infinity))
})

/** As renewals do: the new file beside the old one, then in its place. */
async function replace(next: Certificate): Promise<void> {
  await rename(next.key, own.key)
  await rename(next.certificate, own.certificate)
}

function holding(uri: string, script: string): string {
  const lines = ['import nbd', 'h = nbd.NBD()', 'h.set_uri_allow_local_file(True)']
  return [...lines, `h.connect_uri(${JSON.stringify(uri)})`, script].join('\n')
}

for (const clients of generations)
  t.test(
    `${clients.name}: the kernel's own client in a guest, behind nbd-client's TLS, with a client's certificate`,
    async (t) => {
      const { port, name } = await attach(closed)
      const file = (of: string) => join(known, `${of}.pem`)
      const guest = await bootNbdGuest({ clients, files: ['ca-cert', 'client-cert', 'client-key'].map(file) })
      try {
        const who = `-certfile ${file('client-cert')} -keyfile ${file('client-key')}`
        const tls = `-cacertfile ${file('ca-cert')} -tlshostname localhost`
        await guest.run(`nbd-client ${hostAddress} ${port} -N ${name} ${who} ${tls} /dev/nbd0`)
        await guest.run('mkfs.ext4 -q -F /dev/nbd0 && mount -t ext4 /dev/nbd0 /mnt')
        await guest.run('dd if=/dev/urandom of=/mnt/f bs=1M count=16 && md5sum /mnt/f >/tmp/sum && sync && umount /mnt')
        await guest.run('e2fsck -fn /dev/nbd0 && mount -t ext4 /dev/nbd0 /mnt && md5sum -c /tmp/sum && umount /mnt')
        await guest.run('nbd-client -d /dev/nbd0')
        t.notMatch(guest.console, /I\/O error|EXT4-fs error/)
        await guest.powerOff()
      } finally {
        await guest.kill()
      }
    },
  )
