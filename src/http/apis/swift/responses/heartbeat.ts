/** Answers to work that may take long: white space keeps the connection alive until the outcome is known. */

import { Readable } from 'node:stream'

export const heartbeatSeconds = 10

/**
 * Begins with `first`; a space follows every ten seconds until `work` resolves with the rest. An empty line separates the two if any
 * heartbeat was sent. `work` must not reject: the status has been sent.
 */
export function withHeartbeat(work: Promise<string>, first = ''): Readable {
  return Readable.from(pieces(work, first), { objectMode: false, highWaterMark: 0 })
}

async function* pieces(work: Promise<string>, first: string): AsyncGenerator<string, void, void> {
  let beats = 0
  if (first !== '') {
    beats++
    yield first
  }
  for (;;) {
    const outcome = await settledWithin(work, heartbeatSeconds * 1000)
    if (outcome !== undefined) {
      yield beats > 0 ? `\r\n\r\n${outcome}` : outcome
      return
    }
    beats++
    yield ' '
  }
}

/** undefined: not yet. */
async function settledWithin(work: Promise<string>, ms: number): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
