/**
 * Handlers outlive their clients: one whose client is gone still takes an upload back, or closes an object. The server is
 * closed only when all of them are done; what they work with (the engine, the catalog) may be closed then.
 */

import type { FastifyInstance } from 'fastify'

export class WorkInFlight {
  readonly #work = new Set<Promise<unknown>>()

  /** Answers the promise itself. */
  track<T>(work: Promise<T>): Promise<T> {
    const settled: Promise<unknown> = work.then(
      () => {},
      () => {},
    )
    this.#work.add(settled)
    void settled.then(() => this.#work.delete(settled))
    return work
  }

  /** Resolves when nothing is under way; also what begins meanwhile is waited for. */
  async idle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work)
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    /** For what goes on after a handler has returned: a stream that holds an object open. */
    work: WorkInFlight
  }
}

/** To be called before any route is added. */
export function waitForHandlers(app: FastifyInstance): void {
  const work = new WorkInFlight()
  app.decorate('work', work)
  app.addHook('onRoute', (route) => {
    const { handler } = route
    route.handler = function (request, reply) {
      const result: unknown = handler.call(this, request, reply)
      return result instanceof Promise ? work.track(result) : result
    }
  })
  // After the last connection has ended.
  app.addHook('onClose', () => work.idle())
}
