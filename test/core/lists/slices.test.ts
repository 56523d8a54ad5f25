import t from 'tap'
import { collected, loadInSlices, SlicePace } from '../../../src/core/lists/slices.js'
import { newDice, TestStore } from '../support.js'

const KiB = 1024

/** The slices of things with these weights; each becomes as many characters as it weighs. */
async function slicesOf(weights: number[], pace = new SlicePace()): Promise<number[][]> {
  const ids = weights.map((_, i) => String(i))
  const weightOf = (id: string) => weights[Number(id)] as number
  const slices: number[][] = []
  const loading = {
    // In another order than asked for, as a database may.
    load: async (some: string[]) => some.map((id) => ({ id })).reverse(),
    weigh: async (some: string[]) => new Map(some.map((id) => [id, weightOf(id)])),
  }
  for await (const slice of loadInSlices(ids, pace, loading)) {
    const some = slice.map(({ id }) => Number(id))
    slices.push(some)
    pace.made(
      some.length,
      some.reduce((sum, i) => sum + (weights[i] as number), 0),
    )
  }
  return slices
}

t.test(
  'slices keep the order, lose nothing, and are bounded by bytes for any mixture of long and short things',
  async (t) => {
    const dice = newDice(t)
    for (let round = 0; round < 200; round++) {
      // Runs of short things, which make the pace faster, with runs of long ones behind.
      const weights = Array.from({ length: dice.below(12) }, () => {
        const weight = dice.pick([0, 100, 1000, 128 * KiB])
        return Array.from({ length: dice.below(600) }, () => weight)
      }).flat()
      const slices = await slicesOf(weights)
      t.same(
        slices.flat(),
        weights.map((_, i) => i),
      )
      for (const slice of slices) {
        const bytes = slice.reduce((sum, i) => sum + (weights[i] as number), 0)
        if (bytes > 96 * KiB && slice.length > 1) t.fail(`${slice.length} things with ${bytes} bytes`)
        if (slice.length > 256) t.fail(`${slice.length} things`)
      }
    }
  },
)

t.test('short things come in few slices', async (t) => {
  const slices = await slicesOf(Array.from({ length: 1000 }, () => 100))
  t.ok(slices.length <= 8, `${slices.length} slices`)
})

t.test('what is deleted between two slices is left out', async (t) => {
  const gone = new Set(['1', '3'])
  const loading = {
    load: async (some: string[]) => some.filter((id) => !gone.has(id)).map((id) => ({ id })),
    weigh: async () => new Map<string, number>(),
  }
  const listed = await collected(loadInSlices(['0', '1', '2', '3', '4'], new SlicePace({ first: 2 }), loading))
  t.same(
    listed.map(({ id }) => id),
    ['0', '2', '4'],
  )
})

t.test('users, projects and assignments of any number are listed once and in order', async (t) => {
  const store = await TestStore.open(t)
  const { identity } = store.core
  const alice = await store.caller('alice')
  const names = Array.from({ length: 70 }, (_, i) => `project ${String(i).padStart(3, '0')}`)
  const [role] = await identity.roles.list({ name: 'member' })
  if (role === undefined) throw new Error('there is no role member')
  for (const name of names) {
    const { id } = await identity.projects.create({ name })
    await identity.grants.assign({ userId: alice.user.id, projectId: id, roleId: role.id })
  }
  const pace = () => new SlicePace({ first: 4, max: 4 })
  t.same(
    (await collected(identity.projects.slices({}, pace()))).map(({ name }) => name),
    ['alice', ...names],
  )
  t.same(
    (await collected(identity.projects.slices({ userId: alice.user.id }, pace()))).map(({ name }) => name),
    ['alice', ...names],
  )
  const assignments = await collected(identity.grants.assignmentSlices({ userId: alice.user.id }, pace()))
  t.same(assignments.map(({ target }) => ('name' in target ? target.name : '')).sort(), ['alice', ...names])
  t.same(
    (await collected(identity.users.slices({}, pace()))).map(({ name }) => name),
    ['alice'],
  )
})
