// Each action twenty times at once on the same thing: what only one may do, one does; of changes of different parts none is lost.
//
// Three times over: in one core; in two cores over one catalog, which share no lock in memory; and with transactions whose work is
// done twice, the first time rolled back.

import t from 'tap'
import type { Core } from '../../../src/core/core.js'
import { type Race, times, volume, type World } from './race.js'
import { dataRaces } from './races_data.js'
import { volumeRaces } from './races_volumes.js'
import { repeatTransactions } from './repeated.js'
import { TestStore } from '../support.js'

const races = [...volumeRaces, ...dataRaces]

function labelOf(error: unknown): string | number {
  const { code, statusCode, message } = error as { code?: string; statusCode?: number; message: string }
  return code ?? statusCode ?? message
}

async function run(t: Tap, race: Race, world: World, cores: readonly Core[]): Promise<void> {
  const subject = await (race.subject ?? volume)(world)
  const outcomes = await Promise.allSettled(
    Array.from({ length: times }, (_, i) => race.act(cores[i % cores.length] as Core, world, subject, i)),
  )
  const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [labelOf(outcome.reason)] : []))
  const won = times - refusals.length
  if (Number.isNaN(race.winners)) t.ok(won > 0, 'somebody succeeds')
  else t.equal(won, race.winners, `winners; refused with ${[...new Set(refusals)].join(', ') || 'nothing'}`)
  t.same(
    refusals.filter((refusal) => !(race.refusals ?? []).includes(refusal)),
    [],
    'no other refusals',
  )
  if (race.after === undefined) return
  const after = await race.after(world, subject)
  if ('expected' in race) t.same(after, race.expected)
}

type Tap = Parameters<Parameters<typeof t.test>[0]>[0]

async function newWorld(t: Tap): Promise<World & { store: TestStore }> {
  const store = await TestStore.open(t)
  store.core.exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
  let names = 0
  return {
    store,
    core: store.core,
    alice: await store.caller('alice'),
    admin: await store.caller('admin', 'admin'),
    fresh: () => `name-${++names}`,
  }
}

t.test('in one core', async (t) => {
  const world = await newWorld(t)
  for (const race of races) await t.test(race.what, (t) => run(t, race, world, [world.core]))
})

t.test('in two cores over one catalog, which share no lock', async (t) => {
  const world = await newWorld(t)
  const second = await world.store.secondCore(t)
  second.exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
  for (const race of races) {
    if (!race.oneCore) await t.test(race.what, (t) => run(t, race, world, [world.core, second]))
  }
})

t.test('in transactions that run twice', async (t) => {
  const world = await newWorld(t)
  const undo = repeatTransactions(world.core.catalog)
  for (const race of races) await t.test(race.what, (t) => run(t, race, world, [world.core]))
  t.ok(undo() > races.length * 10)
})
