/**
 * Shares work of which only a little may run at one time between those who ask for it: client addresses take turns, and the names
 * within an address take turns when the address has one.
 *
 * Invariants
 *   1. Once the pieces of work that run have ended, waiting work begins after at most one piece of each other address that waits.
 *      Only further names of its own address, and earlier work of its own name, make it wait for longer.
 *   2. The number of waiting pieces of work is bounded, for each address and in all.
 *   3. When there is no room, the address with the most waiting work loses its newest piece of the name that has the most there.
 *      The one who asks counts like the others, and is refused when that is his own place: a flood displaces itself.
 */

export interface Asker {
  /** A client's, or one of the server's own. */
  address: string
  /** What the client claims to be; nobody knows yet whether that exists. */
  name: string
}

export interface FairTurnsOptions {
  /** Pieces of work that run at one time. */
  atOnce: number
  waitingMax: number
  waitingOfAddressMax: number
  /** What refused and displaced work fails with. */
  refusal(): Error
}

interface Waiting {
  begin(): void
  refuse(error: Error): void
}

/** The work of one address. The name whose turn is next comes first. */
interface Lane {
  count: number
  names: Map<string, Waiting[]>
}

export class FairTurns {
  readonly #options: FairTurnsOptions
  /** The address whose turn is next comes first. */
  readonly #lanes = new Map<string, Lane>()
  #running = 0
  #waiting = 0

  constructor(options: FairTurnsOptions) {
    this.#options = options
  }

  /** Throws the refusal, and whatever `work` throws. */
  async run<T>(asker: Asker, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.atOnce) this.#running += 1
    else await this.#turn(asker)
    try {
      return await work()
    } finally {
      this.#end()
    }
  }

  /** Resolves when the place of a piece of work that has ended was given to this one. */
  #turn(asker: Asker): Promise<void> {
    if (!this.#makeRoom(asker)) throw this.#options.refusal()
    return new Promise((begin, refuse) => this.#add(asker, { begin, refuse }))
  }

  /** False: the place that has to be given up is the asker's own. */
  #makeRoom({ address, name }: Asker): boolean {
    const { waitingMax, waitingOfAddressMax } = this.#options
    const own = this.#lanes.get(address)
    const ownCount = own?.count ?? 0
    if (ownCount >= waitingOfAddressMax) return this.#displaceWithin(address, name)
    if (this.#waiting < waitingMax) return true
    const [most, lane] = longest(this.#lanes, ({ count }) => count)
    if (lane.count <= ownCount + 1) return own !== undefined && this.#displaceWithin(address, name)
    const [longestName] = longest(lane.names, ({ length }) => length)
    this.#displace(most, longestName)
    return true
  }

  #displaceWithin(address: string, name: string): boolean {
    const { names } = this.#lanes.get(address) as Lane
    const [most, waiting] = longest(names, ({ length }) => length)
    if (waiting.length <= (names.get(name)?.length ?? 0) + 1) return false
    this.#displace(address, most)
    return true
  }

  #displace(address: string, name: string): void {
    const waiting = this.#lanes.get(address)?.names.get(name)?.at(-1) as Waiting
    this.#remove(address, name, 'newest')
    waiting.refuse(this.#options.refusal())
  }

  #add({ address, name }: Asker, waiting: Waiting): void {
    const lane = this.#lanes.get(address) ?? { count: 0, names: new Map<string, Waiting[]>() }
    this.#lanes.set(address, lane)
    const ofName = lane.names.get(name)
    if (ofName === undefined) lane.names.set(name, [waiting])
    else ofName.push(waiting)
    lane.count += 1
    this.#waiting += 1
  }

  #remove(address: string, name: string, which: 'oldest' | 'newest'): void {
    const lane = this.#lanes.get(address) as Lane
    const ofName = lane.names.get(name) as Waiting[]
    if (which === 'oldest') ofName.shift()
    else ofName.pop()
    if (ofName.length === 0) lane.names.delete(name)
    lane.count -= 1
    if (lane.count === 0) this.#lanes.delete(address)
    this.#waiting -= 1
  }

  #end(): void {
    const [next] = this.#lanes
    if (next === undefined) {
      this.#running -= 1
      return
    }
    const [address, lane] = next
    const [name, [waiting]] = [...lane.names][0] as [string, [Waiting, ...Waiting[]]]
    this.#remove(address, name, 'oldest')
    // Behind the others: a Map keeps the order in which its keys were set.
    toTheEnd(this.#lanes, address)
    toTheEnd(lane.names, name)
    waiting.begin()
  }
}

/** REQUIRES: the map is not empty. The first of several that are as long as each other. */
function longest<Value>(map: Map<string, Value>, lengthOf: (value: Value) => number): [string, Value] {
  let found: [string, Value] | undefined
  for (const entry of map) if (found === undefined || lengthOf(entry[1]) > lengthOf(found[1])) found = entry
  return found as [string, Value]
}

function toTheEnd<Value>(map: Map<string, Value>, key: string): void {
  const value = map.get(key)
  if (value === undefined || !map.delete(key)) return
  map.set(key, value)
}
