import t from 'tap'
import { AtollError, defineError, errorCatalogue } from '../../src/lib/errors.js'

const TestMissing = defineError('test_missing', 404, 'there is no %s in %s')

t.test('a defined error says its details and keeps its cause', async (t) => {
  const cause = new Error('deeper')
  const error = new TestMissing('b', 3, { cause })
  t.ok(error instanceof AtollError)
  t.ok(error instanceof TestMissing)
  t.match(error, { code: 'test_missing', status: 404, message: 'there is no b in 3', cause })
  t.match(error.stack, 'errors.test')
})

t.test('a detail that looks like a placeholder stays as it is', async (t) => {
  t.equal(new TestMissing('%s', '$&').message, 'there is no %s in $&')
})

t.test('a detail that is missing is seen as such', async (t) => {
  t.equal(new TestMissing('b').message, 'there is no b in ?')
})

t.test('a code is defined once', async (t) => {
  t.throws(() => defineError('test_missing', 400, 'again'), { message: /twice/ })
})

t.test('the catalogue lists what is defined, with its template', async (t) => {
  t.match(
    errorCatalogue().find(({ code }) => code === 'test_missing'),
    { code: 'test_missing', status: 404, message: 'there is no %s in %s' },
  )
})
