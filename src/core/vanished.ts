/** Work on the resource that a row names, when the row may be deleted before the work begins. */

import { ResourceNotFound } from './errors.js'

/**
 * Runs `work` on what `look` found. When its resource has gone meanwhile, the caller learns what a second look says: that the
 * volume or image it asked for is not there, instead of a resource that it never heard of.
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
