/** Work on the resource that a row names, when the row may be deleted before the work begins. */

import { ResourceNotFound } from './errors.js'

/**
 * Runs `work` on what `look` found. If the resource is deleted meanwhile, `look` runs again and throws the error that names the
 * missing volume or image; the resource's own ID means nothing to the client.
 */
export async function onResourceOf<Found, T>(
  look: () => Promise<Found>,
  work: (found: Found) => Promise<T>,
): Promise<T> {
  const found = await look()
  try {
    return await work(found)
  } catch (error) {
    if (error instanceof ResourceNotFound) await look()
    throw error
  }
}
