import t from 'tap'
import { LoopTurns } from '../../../src/http/shared/loop_turns.js'
import { SharedBudget } from '../../../src/http/shared/shared_budget.js'

t.test('one owner gets half of a budget, several an equal share, and one more always finds as much free', (t) => {
  for (let owners = 1; owners <= 16; owners++) {
    const budget = new SharedBudget(1700)
    const names = Array.from({ length: owners }, (_, i) => `owner ${i}`)
    // Each takes one byte after the other, in turn, for as long as it can.
    for (let took = true; took; ) took = names.map((name) => budget.take(name, 1) !== undefined).includes(true)
    const share = Math.floor(1700 / (owners + 1))
    for (const name of names) t.ok(Math.abs(budget.heldOf(name) - share) <= 1, `${owners} owners`)
    t.ok(budget.take('another one', Math.floor((1700 - budget.heldBytes) / 2)), `beside ${owners} owners`)
  }
  t.end()
})

t.test('a greedy owner that was first leaves half of the budget to the others', (t) => {
  const budget = new SharedBudget(1000)
  const takeAll = (owner: string) => {
    for (let took = true; took; ) took = budget.take(owner, 10) !== undefined
  }
  takeAll('greedy')
  t.equal(budget.heldOf('greedy'), 500)
  takeAll('late')
  t.equal(budget.heldOf('late'), 250)
  t.equal(budget.take('greedy', 10), undefined)
  t.end()
})

t.test('what an owner gives back is free for all, and giving it back twice changes nothing', (t) => {
  const budget = new SharedBudget(100)
  const share = budget.take('a', 50)
  t.equal(budget.take('a', 1), undefined)
  share?.set(80)
  t.equal(budget.heldBytes, 80)
  share?.release()
  share?.release()
  share?.set(10)
  t.equal(budget.heldBytes, 0)
  t.equal(budget.heldOf('a'), 0)
  t.ok(budget.take('b', 50))
  t.end()
})

/** The owners in the order in which they made their pieces; `length`: the characters of each piece. */
async function orderOf(works: { owner: string; pieces: number }[], length: number): Promise<string[]> {
  const turns = new LoopTurns()
  const order: string[] = []
  await Promise.all(
    works.map(async ({ owner, pieces }, i) => {
      const work = turns.begin(owner)
      for (let piece = 0; piece < pieces; piece++) {
        await work.turn()
        order.push(`${owner}${i}`)
        work.made(length)
      }
    }),
  )
  return order
}

/** Counts the turns of the event loop while `work` runs. */
async function loopsDuring(work: () => Promise<unknown>): Promise<number> {
  let loops = 0
  let done = false
  const count = () => {
    loops++
    if (!done) setImmediate(count)
  }
  setImmediate(count)
  await work()
  done = true
  return loops
}

const long = 48 * 1024

t.test('owners take turns, however many lists one of them has under way', async (t) => {
  const greedy = Array.from({ length: 100 }, () => ({ owner: 'greedy', pieces: 10 }))
  const order = await orderOf([...greedy, { owner: 'small', pieces: 5 }], long)
  const small = order.flatMap((name, at) => (name.startsWith('small') ? [at] : []))
  t.equal(order.length, 1005)
  // The first piece waits for those that are being made, each further one for one of the other owner.
  t.ok((small.at(-1) ?? Number.NaN) <= 11, `the five pieces of the small list came at ${small}`)
})

t.test('of one owner the list that began first is made first', async (t) => {
  const works = Array.from({ length: 4 }, () => ({ owner: 'a', pieces: 3 }))
  const order = await orderOf(works, long)
  // Two at a time.
  t.same(order.slice(0, 6).sort(), ['a0', 'a0', 'a0', 'a1', 'a1', 'a1'])
  t.same(order.slice(6).sort(), ['a2', 'a2', 'a2', 'a3', 'a3', 'a3'])
})

const works = Array.from({ length: 20 }, (_, i) => ({ owner: `owner ${i % 4}`, pieces: 5 }))

t.test('there are two long pieces in each turn of the event loop', async (t) => {
  let pieces: string[] = []
  const loops = await loopsDuring(async () => {
    pieces = await orderOf(works, long)
  })
  t.equal(pieces.length, 100)
  t.ok(loops >= 49, `${loops} turns of the event loop for 100 pieces`)
})

t.test('there are up to 24 short pieces in each turn of the event loop', async (t) => {
  const loops = await loopsDuring(() => orderOf(works, 0))
  t.ok(loops >= 4, `${loops} turns of the event loop for 100 pieces`)
  t.ok(loops <= 12, `${loops} turns of the event loop for 100 pieces`)
})

t.test('the end of a piece that took longer than its turn makes no room in another turn', async (t) => {
  const turns = new LoopTurns()
  const slow = turns.begin('slow')
  await slow.turn()
  await new Promise(setImmediate)
  const others = Array.from({ length: 3 }, () => turns.begin('other'))
  const begun: number[] = []
  const all = others.map((work, i) => work.turn().then(() => begun.push(i)))
  slow.made(0)
  await Promise.resolve()
  await Promise.resolve()
  t.same(begun, [0, 1])
  await Promise.all(all)
})
