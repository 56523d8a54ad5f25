// NBD sessions that no client would hold, over real sockets: thousands of changed, cut and scrambled copies of good ones, drawn from a
// seed. The server stays up, another client's data stays right, and memory and descriptors are as before.
//
//   ATOLL_SEED=n ATOLL_SESSIONS=n   replays a seed; draws more
//
// Runs alone: it measures memory over thousands of sessions.

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { Dice } from '../core/support.js'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(280_000)

const seed = Number(process.env.ATOLL_SEED ?? Date.now() % 1_000_000)
const sessions = Number(process.env.ATOLL_SESSIONS ?? 10_000)
const atOnce = 16

const u16 = (value: number) => Buffer.from([value >> 8, value & 255])
const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value & 65535)])
const u64 = (value: number) => Buffer.concat([u32(Math.floor(value / 2 ** 32)), u32(value >>> 0)])
const text = (value: string) => Buffer.concat([u32(value.length), Buffer.from(value)])

const option = (number: number, data = Buffer.alloc(0)) =>
  Buffer.concat([Buffer.from('IHAVEOPT'), u32(number), u32(data.length), data])

const write = 1
const payloadLength = 1 << 5

/** Flags are drawn, and with them the payload that the header form says they announce. */
function request(dice: Dice, command: number, extended: boolean): Buffer {
  const length = dice.below(9000)
  const flags = dice.below(64)
  const carries = command === write || (extended && (flags & payloadLength) !== 0)
  const head = [u32(extended ? 0x21e41c71 : 0x25609513), u16(flags), u16(command), u64(dice.below(1 << 30))]
  const range = [u64(dice.below(1 << 20)), extended ? u64(length) : u32(length)]
  return Buffer.concat([...head, ...range, Buffer.alloc(carries ? length : 0, 'w')])
}

/** A session in its messages: flags, options, GO or EXPORT_NAME, requests, DISC. */
function goodSession(dice: Dice, name: string): Buffer[] {
  const meta = Buffer.concat([text(name), u32(1), text('base:allocation')])
  const go = dice.below(4) === 0 ? option(1, Buffer.from(name)) : option(7, Buffer.concat([text(name), u16(1), u16(3)]))
  const extendedHeaders = option(11)
  const others = [option(8), option(3), option(10, meta), option(6, Buffer.concat([text(name), u16(0)]))]
  const chosen = [...others, extendedHeaders].filter(() => dice.below(3) > 0)
  const extended = chosen.includes(extendedHeaders)
  const requests = Array.from({ length: dice.below(8) }, () => request(dice, dice.below(8), extended))
  return [u32(3), ...chosen, go, ...requests, request(dice, 2, extended)]
}

function spoiled(dice: Dice, messages: Buffer[]): Buffer {
  const drawn = messages.flatMap((message) => {
    switch (dice.below(24)) {
      case 0:
        return []
      case 1:
        return [message, message]
      case 2:
        return [message.subarray(0, dice.below(message.length + 1))]
      case 3:
        return [Buffer.from(Array.from({ length: dice.below(100) }, () => dice.below(256))), message]
      default:
        return [message]
    }
  })
  const bytes = Buffer.concat(drawn)
  for (let i = dice.below(4); i > 0 && bytes.length > 0; i--) {
    // Heads are where it hurts: bytes of the first kibibyte more often than others.
    bytes[dice.below(dice.below(2) ? Math.min(bytes.length, 1024) : bytes.length)] = dice.below(256)
  }
  return dice.below(3) === 0 ? bytes.subarray(0, dice.below(bytes.length + 1)) : bytes
}

/** Sends it, reads whatever comes, and ends: in order, or without a word. Resolves when the connection is closed. */
function play(path: string, bytes: Buffer, end: 'half-close' | 'vanish' | 'do not read'): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.on('error', () => {}) // it may be cut
    socket.on('close', () => resolve())
    socket.on('connect', () =>
      socket.write(bytes, () => {
        if (end === 'half-close') socket.end()
        else socket.destroy()
      }),
    )
    if (end !== 'do not read') socket.resume()
  })
}

t.test(`${sessions} malformed NBD sessions (seed ${seed})`, async (t) => {
  // V8 would let its heap grow for as long as nothing presses it, and hide what matters.
  const environment = { NODE_OPTIONS: '--max-old-space-size=56 --max-semi-space-size=1' }
  const server = await startServerProcess(t, { environment })
  const api = await Api.login(await server.environment())
  const targets = [await api.createVolume(), await api.createVolume(), 'absent', '']
  const victim = await api.createVolume()

  const stop = join(server.scratchDir, 'stop')
  const neighbour = nbdsh(
    server.operatorUri(victim),
    `
import os
rounds = 0
while rounds < 50 or not os.path.exists('${stop}'):
    at = rounds % 64 * 65536
    bytes_ = os.urandom(4096)
    h.pwrite(bytes_, at)
    assert h.pread(4096, at) == bytes_
    if rounds % 16 == 0: h.flush()
    rounds += 1
`,
  )

  const usage = async () => {
    const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
    const residentKiB = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])
    return { residentKiB, files: (await readdir(`/proc/${server.pid}/fd`)).length }
  }
  const dice = new Dice(seed)
  const run = async (count: number) => {
    let left = count
    const one = async () => {
      while (left-- > 0) {
        const bytes = spoiled(dice, goodSession(dice, targets[dice.below(targets.length)] ?? ''))
        const end = dice.below(4) === 0 ? 'vanish' : dice.below(12) === 0 ? 'do not read' : 'half-close'
        await play(server.nbdSocket, bytes, end)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, one))
    // Those of the neighbour and of nobody else.
    while ((await server.counters()).connections > 1) await new Promise(setImmediate)
  }
  await run(sessions / 5)
  const before = await usage()
  await run(sessions)
  const after = await usage()
  t.comment(
    `resident memory ${before.residentKiB} KiB before, ${after.residentKiB} KiB after; files ${before.files}, ${after.files}`,
  )
  t.ok(after.residentKiB - before.residentKiB < 16 << 10, 'resident memory grew by less than 16 MiB')
  t.ok(after.files <= before.files + 4, 'no descriptor stays open')

  await writeFile(stop, '')
  await neighbour
  await server.stop()
  const check = await server.check()
  t.equal(check.exitCode, 0, check.all)
})
