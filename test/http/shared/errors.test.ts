// What a client is told of an error says nothing of this server's files; the log says all of it.

import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { fromNative } from '../../../src/addon/errors.js'
import { describeError } from '../../../src/http/shared/errors.js'

const codes = [
  'invalid',
  'not_found',
  'exists',
  'read_only',
  'out_of_range',
  'no_space',
  'io',
  'corrupt',
  'busy',
  'cancelled',
] as const
const moreCodes = ['shutdown', 'unsupported', 'too_large'] as const
const path = '/var/lib/atoll/store/data/0000000000000007'

t.test('no error of the engine tells a client of paths, and the log has them', async (t) => {
  for (const code of [...codes, ...moreCodes]) {
    const logged: unknown[] = []
    const take = (fields: { err: Error }) => logged.push(fields.err.message)
    const request = { log: { warn: take, error: take } } as unknown as FastifyRequest
    const error = fromNative(Object.assign(new Error(`pwrite ${path}: No space left on device`), { code }))
    const { status, message } = describeError(error, request)
    t.notMatch(message, /\/|pwrite|device/, `${code}: ${status} ${message}`)
    t.match(logged, [new RegExp(path)], code)
  }
  const full = fromNative(Object.assign(new Error(path), { code: 'no_space' }))
  const log = { warn: () => {}, error: () => {} }
  t.match(describeError(full, { log } as unknown as FastifyRequest), { status: 507, message: 'there is no space left' })
})
