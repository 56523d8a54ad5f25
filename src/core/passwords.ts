/**
 * Passwords: stored as scrypt hashes, compared in constant time, never logged.
 *
 * Clients log in again and again (one `swift delete` of a container: a dozen times), and scrypt is slow on purpose. So a
 * success is remembered for a short while, as an HMAC under a key that this process made up and nobody else knows, over the
 * hash and the password: a dump of memory helps a guesser no more than the hash itself, and a new password (a new hash) is
 * never met by an old memory. Failures are not remembered: each guess costs a whole scrypt.
 */

import { createHmac, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { Mutex } from '../lib/mutex.js'
import { BadPassword, TooManyLogins } from './errors.js'

// OWASP's recommendation for scrypt with 16 MiB: N = 2^14, r = 8, p = 5.
const cost = { N: 16384, r: 8, p: 5, keyBytes: 32, saltBytes: 16 }
const passwordBytesMax = 1024

const rememberedMs = 5 * 60_000
const rememberedMax = 10_000
/** Each scrypt holds 16 MiB and a thread of libuv's four; the rest of them serves files. */
const atOnce = 2
const waitingMax = 32

export class Passwords {
  readonly #key = randomBytes(32)
  /** When each remembered success ends, oldest first; by the clock that is never set. */
  readonly #remembered = new Map<string, number>()
  readonly #lanes = Array.from({ length: atOnce }, () => new Mutex())
  #waiting = 0
  #turn = 0
  #decoy: Promise<string> | undefined

  /** Throws BadPassword. Answers what is stored: `scrypt$N$r$p$salt$hash`. */
  async hash(password: string): Promise<string> {
    const bytes = passwordBytes(password)
    const salt = randomBytes(cost.saltBytes)
    const key = await this.#derive(bytes, salt, cost.keyBytes, { N: cost.N, r: cost.r, p: cost.p })
    return ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64'), key.toString('base64')].join('$')
  }

  /** `stored` undefined: there is no such user; that takes as long as a wrong password. Throws TooManyLogins. */
  async verify(password: string, stored: string | undefined): Promise<boolean> {
    if (stored === undefined) {
      this.#decoy ??= this.hash(randomBytes(16).toString('hex'))
      await this.#matches(password, await this.#decoy)
      return false
    }
    const memory = createHmac('sha256', this.#key).update(stored).update('\0').update(password).digest('base64')
    const until = this.#remembered.get(memory)
    if (until !== undefined && until > performance.now()) return true
    if (!(await this.#matches(password, stored))) return false
    this.#remember(memory)
    return true
  }

  async #matches(password: string, stored: string): Promise<boolean> {
    const [kind, N, r, p, salt, hash] = stored.split('$')
    if (kind !== 'scrypt' || salt === undefined || hash === undefined) throw new Error('unknown kind of password hash')
    const expected = Buffer.from(hash, 'base64')
    if (Buffer.byteLength(password) > passwordBytesMax) return false
    const options = { N: Number(N), r: Number(r), p: Number(p) }
    const key = await this.#derive(Buffer.from(password), Buffer.from(salt, 'base64'), expected.length, options)
    return timingSafeEqual(key, expected)
  }

  #remember(memory: string): void {
    this.#remembered.delete(memory)
    this.#remembered.set(memory, performance.now() + rememberedMs)
    for (const [oldest, until] of this.#remembered) {
      if (until > performance.now() && this.#remembered.size <= rememberedMax) break
      this.#remembered.delete(oldest)
    }
  }

  async #derive(password: Buffer, salt: Buffer, keyBytes: number, options: ScryptOptions): Promise<Buffer> {
    if (this.#waiting >= waitingMax) throw new TooManyLogins()
    this.#waiting += 1
    try {
      const lane = this.#lanes[this.#turn++ % atOnce] as Mutex
      return await lane.run(() => derive(password, salt, keyBytes, options))
    } finally {
      this.#waiting -= 1
    }
  }
}

function derive(password: Buffer, salt: Buffer, keyBytes: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, keyBytes, { ...options, maxmem: 64 << 20 }, (error, key) => {
      if (error) reject(error)
      else resolve(key)
    })
  })
}

function passwordBytes(password: string): Buffer {
  const bytes = Buffer.from(password)
  if (bytes.length === 0 || bytes.length > passwordBytesMax) throw new BadPassword()
  return bytes
}
