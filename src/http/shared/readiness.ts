/**
 * Whether the server can serve every API: what /healthcheck reports.
 *
 * The port may be open before that (its number goes into what the first start writes for the administrator). Until `ready`, every
 * request is answered 503.
 */

import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { CatalogAway, CatalogContended } from '../../catalog/errors.js'
import type { Core } from '../../core/core.js'
import { asError } from '../../lib/errors.js'
import { NotReady } from './errors.js'

export class Readiness {
  #state: 'starting' | 'ready' | 'closing' = 'starting'

  /** Of a server that has nothing to wait for. */
  static now(): Readiness {
    const readiness = new Readiness()
    readiness.ready()
    return readiness
  }

  get state(): 'starting' | 'ready' | 'closing' {
    return this.#state
  }

  ready(): void {
    if (this.#state === 'starting') this.#state = 'ready'
  }

  /** Health checks fail from now on, so that balancers send no more; other requests are still answered. */
  closing(): void {
    this.#state = 'closing'
  }
}

const retryAfterSeconds = 1

export function addHealthcheck(app: FastifyInstance, core: Core, readiness: Readiness): void {
  app.addHook('onRequest', (_request, reply, done) => {
    if (readiness.state !== 'starting') return done()
    void reply.header('retry-after', retryAfterSeconds)
    done(new NotReady())
  })
  app.addHook('onError', async (_request, reply, error) => {
    if (error instanceof CatalogAway || error instanceof CatalogContended)
      reply.header('retry-after', retryAfterSeconds)
  })
  app.get('/healthcheck', async (request, reply) => {
    const problem = readiness.state === 'closing' ? 'is shutting down' : await problemOf(core, request.log)
    reply.type('text/plain; charset=UTF-8').header('cache-control', 'no-store')
    if (problem === undefined) return reply.send('OK')
    return reply.code(503).header('retry-after', retryAfterSeconds).send(`the server ${problem}`)
  })
}

/** What keeps the server from serving; undefined: nothing. */
async function problemOf({ catalog, engine }: Core, log: FastifyBaseLogger): Promise<string | undefined> {
  try {
    await catalog.db.selectFrom('users').select('id').limit(1).execute()
    engine.counters()
    return undefined
  } catch (error) {
    log.error({ err: asError(error) }, 'the health check failed')
    return 'cannot read its catalog or its store'
  }
}
