import t from 'tap'
import { classesIn } from '../../scripts/lib/class_members.js'

t.test('methods, accessors and fields count once each, the constructor and overloads do not', async (t) => {
  const text = `
class Small {}
export class Large<T> extends Small {
  static count = 0
  static of(): Large<number> { return new Large(1) }
  #secret = 1
  constructor(readonly shown: T, hidden = 0) { super() }
  get value(): number { return 1 }
  set value(given: number) {}
  of(one: number): void
  of(one: string): void
  of(one: unknown): void {}
  async #work() { return class { only = 1 } }
  [key: string]: unknown
}`
  t.same(classesIn('a.ts', text), [
    { path: 'a.ts', line: 2, name: 'Small', members: 0 },
    { path: 'a.ts', line: 3, name: 'Large', members: 7 },
    { path: 'a.ts', line: 13, name: '(anonymous)', members: 1 },
  ])
})
