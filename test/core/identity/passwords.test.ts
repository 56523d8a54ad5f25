import t from 'tap'
import { TooManyLogins } from '../../../src/core/model/errors.js'
import { Passwords } from '../../../src/core/identity/passwords.js'

/** Few may wait, so that a flood is small: each look at a password takes a while. */
const limits = { atOnce: 2, waitingMax: 6, waitingOfAddressMax: 4 }

const asker = (address: string, name: string) => ({ address, name })

t.test(
  'a flood of unknown names leaves unknown names as they were: refused passwords, not refused logins',
  async (t) => {
    const passwords = new Passwords(limits)
    const flood = Array.from({ length: 12 }, (_, i) =>
      passwords.verify('wrong', undefined, asker('flood', `user${i}`)).catch((error) => error.constructor),
    )
    // Known and unknown names from elsewhere wait for the same turns, and get answers.
    const stored = await new Passwords().hash('right', 'alice')
    const known = passwords.verify('right', stored, asker('home', 'alice'))
    const unknown = passwords.verify('right', undefined, asker('other home', 'nobody'))
    t.equal(await known, true)
    t.equal(await unknown, false)
    const outcomes = new Set(await Promise.all(flood))
    t.same(outcomes, new Set([false, TooManyLogins]))
    t.equal(await passwords.verify('wrong', undefined, asker('flood', 'user0')), false, 'and the same name afterwards')
  },
)

t.test('known and unknown names fare alike when there is no room', async (t) => {
  const passwords = new Passwords(limits)
  const stored = await passwords.hash('right', 'alice')
  const tries = (isKnown: (i: number) => boolean) =>
    Promise.all(
      Array.from({ length: 9 }, (_, i) =>
        passwords.verify('wrong', isKnown(i) ? stored : undefined, asker('flood', `user${i}`)).catch(() => 'refused'),
      ),
    )
  t.same(await tries((i) => i % 2 === 0), await tries((i) => i % 2 === 1))
})
