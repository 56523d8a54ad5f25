import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { KeyedMutex, Mutex } from '../../src/lib/mutex.js'

t.test('one at a time, in the order of asking', async (t) => {
  const mutex = new Mutex()
  const seen: string[] = []
  const job = (name: string, ms: number) =>
    mutex.run(async () => {
      seen.push(`${name} begins`)
      await sleep(ms)
      seen.push(`${name} ends`)
    })
  await Promise.all([job('a', 5), job('b', 1), job('c', 0)])
  t.same(seen, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  t.ok(mutex.idle)
})

t.test('what fails lets the next one in', async (t) => {
  const mutex = new Mutex()
  const failing = mutex.run(async () => {
    throw new Error('no')
  })
  t.equal(await mutex.run(async () => 'yes').catch(() => 'no'), 'yes')
  await t.rejects(failing, { message: 'no' })
})

t.test('different keys do not wait for each other', async (t) => {
  const mutexes = new KeyedMutex<string>()
  let release = () => {}
  const held = mutexes.run('a', () => new Promise<void>((resolve) => (release = resolve)))
  t.equal(await mutexes.run('b', async () => 'through'), 'through')
  release()
  await held
})
