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

/** The owners in the order in which they made their pieces; `works`: how many pieces each work has. */
async function orderOf(works: { owner: string; pieces: number }[]): Promise<string[]> {
  const turns = new LoopTurns()
  const order: string[] = []
  await Promise.all(
    works.map(async ({ owner, pieces }, i) => {
      const work = turns.begin(owner)
      for (let piece = 0; piece < pieces; piece++) {
        await work.turn()
        order.push(`${owner}${i}`)
      }
    }),
  )
  return order
}

t.test('owners take turns, however many lists one of them has under way', async (t) => {
  const greedy = Array.from({ length: 100 }, () => ({ owner: 'greedy', pieces: 10 }))
  const order = await orderOf([...greedy, { owner: 'small', pieces: 5 }])
  const small = order.flatMap((name, at) => (name.startsWith('small') ? [at] : []))
  t.equal(order.length, 1005)
  // The first piece waits for the one that is being made, each further one for one of the other owner.
  t.ok((small.at(-1) ?? Number.NaN) <= 10, `the five pieces of the small list came at ${small}`)
})

t.test('of one owner the list that began first is made first', async (t) => {
  const order = await orderOf(Array.from({ length: 3 }, () => ({ owner: 'a', pieces: 3 })))
  t.same(order, ['a0', 'a0', 'a0', 'a1', 'a1', 'a1', 'a2', 'a2', 'a2'])
})

t.test('there is one piece in each turn of the event loop', async (t) => {
  let loops = 0
  let done = false
  const count = () => {
    loops++
    if (!done) setImmediate(count)
  }
  setImmediate(count)
  const pieces = await orderOf(Array.from({ length: 20 }, (_, i) => ({ owner: `owner ${i % 4}`, pieces: 5 })))
  done = true
  t.equal(pieces.length, 100)
  t.ok(loops >= 99, `${loops} turns of the event loop for 100 pieces`)
})
