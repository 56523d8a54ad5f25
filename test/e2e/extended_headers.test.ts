// Extended headers, as QEMU 10 and libnbd 1.22 use them: both negotiate them by themselves, and QEMU sends WRITE without the flag
// PAYLOAD_LEN. What a client writes is data, even when its bytes look like requests.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { GiB, KiB, MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { generations, hostClients, newestClients } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(300_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
const sizeGiB = 8

/** The operator's URI of a fresh volume of {@link sizeGiB}. */
const freshUri = async () => server.operatorUri(await api.createVolume({ size: sizeGiB }))

const writeCommand = 1
/** Where the requests inside of the data would write. */
const targetOffset = 64 * MiB
const targetBytes = 512

/** A WRITE request to the target, with its payload, in the header form that the client has negotiated. */
function forgedRequest(form: 'compact' | 'extended'): Buffer {
  const header = Buffer.alloc(form === 'compact' ? 28 : 32)
  header.writeUInt32BE(form === 'compact' ? 0x25609513 : 0x21e41c71, 0)
  header.writeUInt16BE(form === 'compact' ? 0 : 1 << 5, 4) // PAYLOAD_LEN
  header.writeUInt16BE(writeCommand, 6)
  header.writeBigUInt64BE(0x66_6f72_6765_6421n, 8)
  header.writeBigUInt64BE(BigInt(targetOffset), 16)
  if (form === 'compact') header.writeUInt32BE(targetBytes, 24)
  else header.writeBigUInt64BE(BigInt(targetBytes), 24)
  return Buffer.concat([header, Buffer.alloc(targetBytes, 'forged!!')])
}

for (const clients of generations) {
  t.test(
    `${clients.name}: blocks that look like WRITE requests are stored as data, and nothing is written elsewhere`,
    async (t) => {
      const uri = await freshUri()
      // Requests from the first byte on, back to back, so that a parser that is in step once stays in step.
      for (const [index, form] of (['compact', 'extended'] as const).entries()) {
        const block = Buffer.alloc(64 * KiB, forgedRequest(form))
        const file = join(server.scratchDir, form)
        await writeFile(file, block)
        const at = index * MiB
        const writes = [`write -s ${file} ${at} 64k`, `write -f -s ${file} ${at + 128 * KiB} 64k`, 'flush']
        const output = await clients.run('qemu-io', ['-f', 'raw', ...writes.flatMap((each) => ['-c', each]), uri])
        t.notMatch(output, /failed|error/i)
        const check = `
content = open(${JSON.stringify(file)}, 'rb').read()
assert h.pread(${64 * KiB}, ${at}) == content
assert h.pread(${64 * KiB}, ${at + 128 * KiB}) == content
extents = []
h.block_status(${GiB}, 0, lambda name, offset, entries, error: extents.extend(entries) and 0)
print(sum(length for length, flags in zip(extents[::2], extents[1::2]) if flags == 0))
`
        t.equal(
          (await hostClients.nbdsh(uri, check)).trim(),
          String((index + 1) * 128 * KiB),
          'bytes of data in the volume',
        )
      }
    },
  )
}

t.test('QEMU 10 asks for extended headers first, and gets them', async (t) => {
  const output = await newestClients.run('qemu-io', [
    ...[
      '-T',
      'nbd_send_option_request',
      '-f',
      'raw',
      '-c',
      'write -P 7 1M 64k',
      '-c',
      'read -P 7 1M 64k',
      await freshUri(),
    ],
  ])
  t.match(output, /nbd_send_option_request .*extended headers/)
  // It would ask for these next, had the first been refused.
  t.notMatch(output, /structured repl/)
  t.notMatch(output, /verification failed|error/i)
})

/** Runs a script with libnbd 1.22; `connect(extended, structured)` gives a handle that still negotiates. */
async function libnbd(uri: string, script: string): Promise<string> {
  const prelude = `
import errno, nbd
def connect(extended=False, structured=False):
    h = nbd.NBD()
    h.set_opt_mode(True)
    h.set_request_extended_headers(extended)
    h.set_request_structured_replies(structured)
    h.connect_uri(${JSON.stringify(uri)})
    return h
def headers(h):
    return h.get_structured_replies_negotiated(), h.get_extended_headers_negotiated()
def refused(call, *arguments):
    try: call(*arguments)
    except nbd.Error as error: return error.errnum
    raise AssertionError('not refused')
size = ${sizeGiB} << 30
`
  return newestClients.python(prelude + script)
}

t.test(
  'libnbd 1.22: simple, structured and extended headers are negotiated in every order, and each once',
  async (t) => {
    const output = await libnbd(
      await freshUri(),
      `
for order in ('', 's', 'e', 'se', 'es', 'ss', 'ee', 'see'):
    h = connect()
    answers = ''.join('sS'[h.opt_structured_reply()] if o == 's' else 'eE'[h.opt_extended_headers()] for o in order)
    form = headers(h)
    h.opt_go()
    h.pwrite(b'x' * 70000, 12345)
    assert h.pread(70000, 12345) == b'x' * 70000
    h.shutdown()
    print(order or '-', answers or '-', *form)
`,
    )
    t.same(output.trim().split('\n'), [
      '- - False False',
      's S True False',
      'e E True True',
      'se SE True True',
      'es Es True True', // after extended headers there are no structured ones to ask for
      'ss Ss True False',
      'ee Ee True True',
      'see SEe True True',
    ])
  },
)

t.test('libnbd 1.22: one request covers more than 4 GiB, for BLOCK_STATUS, CACHE, TRIM and WRITE_ZEROES', async (t) => {
  const output = await libnbd(
    await freshUri(),
    `
h = connect(True, True)
h.add_meta_context('base:allocation')
h.opt_go()
def extents():
    found = []
    h.block_status_64(size, 0, lambda name, offset, entries, error: found.extend(entries))
    return found
print(extents())
h.pwrite(b'1' * 4096, 1 << 30)
h.pwrite(b'5' * 4096, 5 << 30)
print(extents())
h.cache(size, 0)
h.trim(size - (5 << 30), 5 << 30)
print(extents())
h.zero(size, 0)
print(extents(), h.pread(4096, 1 << 30) == bytes(4096))
for call in (h.trim, h.zero, h.cache):
    h.set_strict_mode(h.get_strict_mode() & ~nbd.STRICT_BOUNDS)
    refused(call, size, 1)
h.shutdown()
`,
  )
  const size = sizeGiB * GiB
  const empty = `[(${size}, 3)]`
  const block = '(4096, 0)'
  t.same(output.trim().split('\n'), [
    empty,
    `[(${GiB}, 3), ${block}, (${4 * GiB - 4096}, 3), ${block}, (${size - 5 * GiB - 4096}, 3)]`,
    `[(${GiB}, 3), ${block}, (${size - GiB - 4096}, 3)]`,
    `${empty} True`,
  ])
})

t.test('libnbd 1.22: a filter chooses among the metadata contexts; both INFO and GO offer it', async (t) => {
  const output = await libnbd(
    await freshUri(),
    `
h = connect(True, True)
contexts = ['base:allocation', 'atoll:depth', 'qemu:allocation-depth']
h.opt_info()
print(h.can_block_status_payload())
for context in contexts: h.add_meta_context(context)
h.opt_info()
print(h.can_block_status_payload())
h.opt_go()
print(h.can_block_status_payload())
h.pwrite(b'x' * 8192, 4096)
def answered(filter):
    found = {}
    def keep(name, offset, entries, error): found[name] = entries
    if filter is None: h.block_status_64(size, 0, keep)
    else: h.block_status_filter(size, 0, filter, keep)
    return found
everything = answered(None)
assert sorted(everything) == sorted(contexts), everything
for chosen in (contexts, contexts[:1], contexts[1:], contexts[::2]):
    assert answered(chosen) == {name: everything[name] for name in chosen}, chosen
print(refused(answered, []) == errno.EINVAL)
assert h.pread(8192, 4096) == b'x' * 8192
h.shutdown()
`,
  )
  t.same(output.trim().split('\n'), Array(4).fill('True'))
})

t.test('libnbd 1.22: the payload of a refused WRITE is read past, and the connection goes on', async (t) => {
  const output = await libnbd(
    await freshUri(),
    `
import struct
forged = (struct.pack('>IHHQQQ', 0x21e41c71, 1 << 5, 1, 99, 64 << 20, 512) + b'forged!!' * 64) * 100
h = connect(True, True)
h.opt_go()
# The library would refuse these ranges and flags itself. It always sends PAYLOAD_LEN.
h.set_strict_mode(h.get_strict_mode() & ~(nbd.STRICT_BOUNDS | nbd.STRICT_FLAGS))
print(refused(h.pwrite, forged, size - 512), refused(h.pwrite, forged, size), refused(h.pwrite, forged, 0, nbd.CMD_FLAG_REQ_ONE))
h.pwrite(forged, 4096)
assert h.pread(len(forged), 4096) == forged
assert h.pread(512, 64 << 20) == bytes(512)
h.shutdown()
`,
  )
  const [ENOSPC, EINVAL] = [28, 22]
  t.equal(output.trim(), `${ENOSPC} ${ENOSPC} ${EINVAL}`)
})
