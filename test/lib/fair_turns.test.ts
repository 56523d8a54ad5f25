import t from 'tap'
import { type Asker, FairTurns } from '../../src/lib/fair_turns.js'

const refused = new Error('refused')

/** Work that ends when the test says so, in the order in which it began. */
class Turns {
  readonly begun: string[] = []
  readonly refused: string[] = []
  readonly #ends: (() => void)[] = []
  readonly #turns: FairTurns

  constructor(limits: { atOnce?: number; waitingMax?: number; waitingOfAddressMax?: number } = {}) {
    const usual = { atOnce: 1, waitingMax: 100, waitingOfAddressMax: 100 }
    this.#turns = new FairTurns({ ...usual, ...limits, refusal: () => refused })
  }

  ask(address: string, name: string): void {
    const asker: Asker = { address, name }
    const label = `${address}/${name}`
    const work = () =>
      new Promise<void>((resolve) => {
        this.begun.push(label)
        this.#ends.push(resolve)
      })
    this.#turns.run(asker, work).catch((error) => {
      if (error !== refused) throw error
      this.refused.push(label)
    })
  }

  /** Ends the oldest work, and lets the next begin. */
  async end(): Promise<void> {
    this.#ends.shift()?.()
    await settled()
  }

  async endAll(): Promise<void> {
    while (this.#ends.length > 0) await this.end()
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

t.test('while one address floods, work from another begins after one turn of each address', async (t) => {
  for (const floods of [1, 3, 10]) {
    const turns = new Turns()
    for (let i = 0; i < 5; i++) for (let flood = 0; flood < floods; flood++) turns.ask(`flood${flood}`, `user${i}`)
    turns.ask('home', 'alice')
    for (let i = 0; i < 5; i++) for (let flood = 0; flood < floods; flood++) turns.ask(`flood${flood}`, `late${i}`)
    await settled()
    const before = turns.begun.length
    for (let i = 0; i <= floods; i++) await turns.end()
    t.ok(turns.begun.indexOf('home/alice') >= before, 'it waited')
    t.ok(turns.begun.includes('home/alice'), `among ${floods} floods: ${turns.begun}`)
    await turns.endAll()
    t.equal(turns.begun.length, floods * 10 + 1)
    t.same(turns.refused, [])
  }
})

t.test('the names of one address take turns, and the work of one name keeps its order', async (t) => {
  const turns = new Turns()
  for (const name of ['first', 'a', 'a', 'a', 'b', 'b', 'c']) turns.ask('home', name)
  await turns.endAll()
  t.same(
    turns.begun,
    ['first', 'a', 'b', 'c', 'a', 'b', 'a'].map((name) => `home/${name}`),
  )
})

t.test('no more work runs at one time than may, and failures give their place to the next', async (t) => {
  const turns = new FairTurns({ atOnce: 2, waitingMax: 100, waitingOfAddressMax: 100, refusal: () => refused })
  let running = 0
  let runningMax = 0
  const work = (i: number) => async () => {
    running += 1
    runningMax = Math.max(runningMax, running)
    await settled()
    running -= 1
    if (i % 3 === 0) throw new Error(`${i}`)
    return i
  }
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => turns.run({ address: `${i % 4}`, name: `${i % 3}` }, work(i))),
  )
  t.equal(runningMax, 2)
  t.same(
    all.map(({ status }) => status === 'rejected'),
    all.map((_, i) => i % 3 === 0),
  )
})

t.test('without room a flood displaces itself, and others are taken', async (t) => {
  const turns = new Turns({ waitingMax: 10 })
  turns.ask('first', 'runs')
  for (let i = 0; i < 10; i++) turns.ask('flood', `user${i}`)
  await settled()
  t.same(turns.refused, [], 'there is room for ten')
  turns.ask('flood', 'user10')
  await settled()
  t.same(turns.refused, ['flood/user10'], 'its own place')
  for (const home of ['a', 'b', 'c']) turns.ask(home, 'alice')
  await settled()
  t.equal(turns.refused.length, 4)
  t.ok(turns.refused.every((label) => label.startsWith('flood/')))
  await turns.endAll()
  for (const home of ['a', 'b', 'c']) t.ok(turns.begun.includes(`${home}/alice`))
  t.equal(turns.begun.length, 11)
})

t.test('within an address without room, the name with the most waiting gives way', async (t) => {
  for (const limits of [{ waitingOfAddressMax: 6 }, { waitingMax: 6 }]) {
    const turns = new Turns(limits)
    turns.ask('home', 'runs')
    for (let i = 0; i < 6; i++) turns.ask('home', 'guesser')
    turns.ask('home', 'alice')
    turns.ask('home', 'guesser')
    await settled()
    t.same(turns.refused, ['home/guesser', 'home/guesser'], JSON.stringify(limits))
    await turns.endAll()
    t.ok(turns.begun.includes('home/alice'))
  }
})

t.test('whoever asks, what waits is bounded, and all that is not refused is done', async (t) => {
  const turns = new Turns({ atOnce: 2, waitingMax: 20, waitingOfAddressMax: 7 })
  for (let i = 0; i < 500; i++) turns.ask(`${(i * 7) % 5}`, `${(i * 11) % 13}`)
  await settled()
  t.equal(turns.refused.length, 500 - 2 - 20)
  await turns.endAll()
  t.equal(turns.begun.length, 22)
  turns.ask('later', 'x')
  await settled()
  t.equal(turns.begun.at(-1), 'later/x')
  await turns.endAll()
})
