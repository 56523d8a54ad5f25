import t from 'tap'
import { descriptorLimit, fitToDescriptors } from '../../src/server/descriptors.js'

const usual = { http: 4096, nbd: 4096 }

t.test('limits that fit the file descriptors stay as they are', async (t) => {
  for (const limit of [undefined, 1_048_576, 524_288, 22_187]) t.same(fitToDescriptors(usual, limit), usual, `${limit}`)
  t.same(fitToDescriptors({ http: 20, nbd: 20 }, 1024), { http: 20, nbd: 20 })
})

t.test('limits that do not fit shrink alike, and the warning says which limit would do', async (t) => {
  for (const limit of [1024, 4096, 10_000, 22_000]) {
    const { http, nbd, warning = '' } = fitToDescriptors(usual, limit)
    t.equal(http, nbd, `${limit}`)
    t.ok(http >= 8 && 2 * http + nbd <= limit, `${limit}: ${http}`)
    t.match(warning, new RegExp(`^a limit of ${limit} file descriptors .* ${http} and ${nbd} are served`))
    const enough = Number(/raise it to (\d+)/.exec(warning)?.[1])
    t.notOk(fitToDescriptors(usual, enough).warning, `${enough} would do`)
  }
  const many = { http: 100_000, nbd: 100_000 }
  const enough = Number(/raise it to (\d+)/.exec(fitToDescriptors(many, 4096).warning ?? '')?.[1])
  t.notOk(fitToDescriptors(many, enough).warning, `${enough} would do`)
  t.ok(fitToDescriptors(many, enough - 10).warning)
  t.match(fitToDescriptors(usual, 32), { http: 8, nbd: 8 })
})

t.test('the limit of this process is known', async (t) => {
  t.ok((descriptorLimit() ?? 0) >= 256)
})
