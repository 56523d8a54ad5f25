import t from 'tap'
import { parseMicroversion } from '../../../../src/http/apis/cinder/microversion.js'

t.test('a client that asks for nothing gets 3.0', async (t) => {
  t.equal(parseMicroversion(undefined), 0)
  t.equal(parseMicroversion('compute 2.90'), 0)
})

t.test('the version of this service is found among others', async (t) => {
  t.equal(parseMicroversion('volume 3.27'), 27)
  t.equal(parseMicroversion('compute 2.1, volume 3.70'), 70)
  t.equal(parseMicroversion('volume latest'), 70)
})

t.test('a version out of reach is 406, and what is no version is 400', async (t) => {
  for (const text of ['volume 3.71', 'volume 4.0', 'volume 2.0'])
    t.throws(() => parseMicroversion(text), { name: 'CinderFault', statusCode: 406 }, text)
  for (const text of ['volume', 'volume 3', 'volume 3.', 'volume x', 'volume 3.01', 'volume 3.1 3.2', 'volume 3.1e1'])
    t.throws(() => parseMicroversion(text), { name: 'CinderFault', statusCode: 400 }, text)
})
