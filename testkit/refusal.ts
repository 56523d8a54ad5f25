/** What something throws, to be looked at: `t.match(refusal(() => …), { status: 400 })`. */

interface Refusal {
  status?: number
  statusCode?: number
  code?: string
  message?: string
  text?: string
}

/** Fails when nothing is thrown. */
export function refusal(attempt: () => unknown): Refusal {
  try {
    attempt()
  } catch (error) {
    return error as Refusal
  }
  throw new Error('nothing was thrown')
}

/** The same for what rejects. */
export async function rejection(attempt: Promise<unknown>): Promise<Refusal> {
  return attempt.then(
    () => {
      throw new Error('nothing was thrown')
    },
    (error) => error as Refusal,
  )
}
