/**
 * Passwords: stored as scrypt hashes, compared in constant time, never logged.
 *
 * Clients log in again and again (one `swift delete` of a container: a dozen times), and scrypt is slow on purpose. So a
 * success is remembered for a short while, as an HMAC under a key that this process made up and nobody else knows, over the
 * hash and the password: a dump of memory helps a guesser no more than the hash itself, and a new password (a new hash) is
 * never met by an old memory. Failures are not remembered: each guess costs a whole scrypt.
 */

import { createHmac, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { BadPassword, TooManyLogins } from '../model/errors.js'
import { type Asker, FairTurns, type FairTurnsOptions } from '../../lib/fair_turns.js'

// OWASP's recommendation for scrypt with 16 MiB: N = 2^14, r = 8, p = 5.
const cost = { N: 16384, r: 8, p: 5, keyBytes: 32, saltBytes: 16 }
const passwordBytesMax = 1024

const rememberedMs = 5 * 60_000
const rememberedMax = 10_000
/** Each scrypt holds 16 MiB and a thread of libuv's four; the rest of them serves files. */
const usualLimits = { atOnce: 2, waitingMax: 256, waitingOfAddressMax: 64 }

export class Passwords {
  readonly #key = randomBytes(32)
  /** When each remembered success ends, oldest first; by the clock that is never set. */
  readonly #remembered = new Map<string, number>()
  readonly #turns: FairTurns
  /** Costs as much as a real hash, and no password is known to match it. */
  readonly #decoy = formatHash(randomBytes(cost.saltBytes), randomBytes(cost.keyBytes))

  constructor(limits: Omit<FairTurnsOptions, 'refusal'> = usualLimits) {
    this.#turns = new FairTurns({ ...limits, refusal: () => new TooManyLogins() })
  }

  /** Returns what is stored: `scrypt$N$r$p$salt$hash`. `name`: the user's, or its ID. Throws BadPassword, TooManyLogins. */
  async hash(password: string, name: string): Promise<string> {
    const bytes = passwordBytes(password)
    const salt = randomBytes(cost.saltBytes)
    const options = { N: cost.N, r: cost.r, p: cost.p }
    const key = await this.#turns.run({ address: '', name }, () => derive(bytes, salt, cost.keyBytes, options))
    return formatHash(salt, key)
  }

  /**
   * `stored` undefined: there is no such user, empty: the user has no password; that waits for the same turn and takes as long as a wrong password. `asker`: who waits
   * for a turn. Throws TooManyLogins.
   */
  async verify(password: string, stored: string | undefined, asker: Asker): Promise<boolean> {
    if (stored === undefined || stored === '') {
      await this.#matches(password, this.#decoy, asker)
      return false
    }
    const memory = createHmac('sha256', this.#key).update(stored).update('\0').update(password).digest('base64')
    const until = this.#remembered.get(memory)
    if (until !== undefined && until > performance.now()) return true
    if (!(await this.#matches(password, stored, asker))) return false
    this.#remember(memory)
    return true
  }

  async #matches(password: string, stored: string, asker: Asker): Promise<boolean> {
    const [kind, N, r, p, salt, hash] = stored.split('$')
    if (kind !== 'scrypt' || salt === undefined || hash === undefined) throw new Error('unknown kind of password hash')
    const expected = Buffer.from(hash, 'base64')
    if (Buffer.byteLength(password) > passwordBytesMax) return false
    const options = { N: Number(N), r: Number(r), p: Number(p) }
    const work = () => derive(Buffer.from(password), Buffer.from(salt, 'base64'), expected.length, options)
    const key = await this.#turns.run(asker, work)
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
}

const formatHash = (salt: Buffer, key: Buffer): string =>
  ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64'), key.toString('base64')].join('$')

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
