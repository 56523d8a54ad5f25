import t from 'tap'
import { parsePatch } from '../../../../src/http/apis/glance/requests/json_patch.js'

t.test('the three operations of the newer form are read', async (t) => {
  const body = [
    { op: 'replace', path: '/name', value: 'x' },
    { op: 'add', path: '/colour', value: 'red' },
    { op: 'remove', path: '/shape' },
  ]
  t.same(parsePatch(body, 10), [
    { op: 'replace', path: ['name'], value: 'x' },
    { op: 'add', path: ['colour'], value: 'red' },
    { op: 'remove', path: ['shape'], value: undefined },
  ])
})

t.test('in the older form the member is named by the operation', async (t) => {
  t.same(parsePatch([{ replace: '/name', value: 'x' }], 4), [{ op: 'replace', path: ['name'], value: 'x' }])
  t.throws(() => parsePatch([{ replace: '/name', add: '/name', value: 'x' }], 4), /exactly one member/)
})

t.test('a pointer may hold an escaped slash and an escaped tilde', async (t) => {
  t.same(parsePatch([{ op: 'remove', path: '/a~1b~0c' }], 10)[0]?.path, ['a/b~c'])
})

t.test('only a single location lies deeper than the first level', async (t) => {
  t.same(parsePatch([{ op: 'add', path: '/locations/-', value: {} }], 10)[0]?.path, ['locations', '-'])
  t.throws(() => parsePatch([{ op: 'add', path: '/locations', value: [] }], 10), /Invalid JSON pointer/)
  t.throws(() => parsePatch([{ op: 'add', path: '/tags/-', value: 'x' }], 10), /Invalid JSON pointer/)
  t.throws(() => parsePatch([{ op: 'replace', path: '/locations/0', value: {} }], 10), /Invalid JSON pointer/)
})

t.test('what is no patch is refused with 400', async (t) => {
  const refused: unknown[] = [
    null,
    {},
    'x',
    [null],
    [[]],
    ['x'],
    [{}],
    [{ op: 'move', path: '/a', value: 'x' }],
    [{ op: 'add', path: '/a' }],
    [{ op: 'add', value: 'x' }],
    [{ op: 'add', path: 7, value: 'x' }],
    [{ op: 'add', path: 'a', value: 'x' }],
    [{ op: 'add', path: '/', value: 'x' }],
    [{ op: 'add', path: '//', value: 'x' }],
    [{ op: 'add', path: '/a/', value: 'x' }],
    [{ op: 'add', path: '/~2', value: 'x' }],
    [{ op: 'add', path: '/~', value: 'x' }],
    Array.from({ length: 513 }, () => ({ op: 'remove', path: '/a' })),
  ]
  for (const body of refused)
    t.throws(() => parsePatch(body, 10), { name: 'GlanceFault', statusCode: 400 }, JSON.stringify(body).slice(0, 60))
})
