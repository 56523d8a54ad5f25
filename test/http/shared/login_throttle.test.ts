import t from 'tap'
import { LoginThrottle } from '../../../src/http/shared/login_throttle.js'
import { rejection } from '../../../testkit/refusal.js'

const wrong = new Error('wrong')
const fail = () => Promise.reject(wrong)
const pass = () => Promise.resolve('in')
const isWrong = (error: unknown) => error === wrong
const here = { who: 'alice', address: '10.0.0.1' }

/** With delays that do not pass time, and a clock that the test moves. */
function throttleAt(clock: { nowMs: number }) {
  return new LoginThrottle({ now: () => clock.nowMs, sleep: async () => {} })
}

async function failTimes(throttle: LoginThrottle, times: number) {
  for (let i = 0; i < times; i++) await throttle.attempt(here, fail, isWrong).catch(() => {})
}

t.test('after ten failures attempts are refused unjudged, right or wrong', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  await failTimes(throttle, 9)
  t.equal(await throttle.attempt(here, pass, isWrong), 'in')
  await failTimes(throttle, 10)
  t.match(await rejection(throttle.attempt(here, pass, isWrong)), { status: 429 })
})

t.test('a refused attempt is open again after the window', async (t) => {
  const clock = { nowMs: 0 }
  const throttle = throttleAt(clock)
  await failTimes(throttle, 10)
  clock.nowMs = 60_001
  t.equal(await throttle.attempt(here, pass, isWrong), 'in')
})

t.test('a wall clock that is set back keeps nobody out for longer; one set forward lets nobody in', async (t) => {
  let uptimeMs = 1000
  let wallMs = Date.now()
  t.intercept(performance, 'now', { value: () => uptimeMs })
  t.intercept(Date, 'now', { value: () => wallMs })
  const throttle = new LoginThrottle({ sleep: async () => {} })
  await failTimes(throttle, 10)
  wallMs += 2 * 86_400_000
  t.match(await rejection(throttle.attempt(here, pass, isWrong)), { status: 429 })
  wallMs -= 5 * 86_400_000
  t.match(await rejection(throttle.attempt(here, pass, isWrong)), { status: 429 })
  uptimeMs += 60_001
  t.equal(await throttle.attempt(here, pass, isWrong), 'in')
})

t.test('a success forgets the failures', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  await failTimes(throttle, 9)
  await throttle.attempt(here, pass, isWrong)
  await failTimes(throttle, 9)
  t.equal(await throttle.attempt(here, pass, isWrong), 'in')
})

t.test('the same user from elsewhere, and others from here, do not notice', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  await failTimes(throttle, 10)
  t.equal(await throttle.attempt({ ...here, address: '10.0.0.2' }, pass, isWrong), 'in')
  t.equal(await throttle.attempt({ ...here, who: 'bob' }, pass, isWrong), 'in')
})

t.test('many wrong attempts at once are judged no more often than ten times', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  const attempts = Array.from({ length: 50 }, () => throttle.attempt(here, fail, isWrong).catch((error) => error))
  const answers = await Promise.all(attempts)
  t.equal(answers.filter((error) => error === wrong).length, 10)
  t.equal(answers.filter((error) => error.status === 429).length, 40)
})

t.test('many right attempts at once all get in', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  const answers = await Promise.all(Array.from({ length: 50 }, () => throttle.attempt(here, pass, isWrong)))
  t.same(new Set(answers), new Set(['in']))
})

t.test('failures that are not the password’s fault do not count', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  for (let i = 0; i < 20; i++)
    await throttle.attempt(here, () => Promise.reject(new Error('disk')), isWrong).catch(() => {})
  t.equal(await throttle.attempt(here, pass, isWrong), 'in')
})

t.test('each failure is answered later than the one before, up to a second', async (t) => {
  const delays: number[] = []
  const throttle = new LoginThrottle({
    now: () => 0,
    sleep: async (ms) => {
      delays.push(ms)
    },
  })
  await failTimes(throttle, 10)
  t.same(delays, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
})

t.test('attempts of a pair that wait are bounded, and those that were taken are judged', async (t) => {
  const throttle = throttleAt({ nowMs: 0 })
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const attempts = Array.from({ length: 150 }, () => throttle.attempt(here, () => gate.then(pass), isWrong))
  const outcomes = Promise.allSettled(attempts)
  open()
  const taken = (await outcomes).filter(({ status }) => status === 'fulfilled')
  t.equal(taken.length, 10 + 100)
  t.equal(await throttle.attempt(here, pass, isWrong), 'in')
})
