/**
 * Listings by name, with prefixes, delimiters and markers, as Swift defines them (swift/container/backend.py,
 * list_objects_iter). Names are ordered by the bytes of their UTF-8.
 */

/** Empty strings count as absent. */
export interface ListingQuery {
  prefix?: string | undefined
  /** One or more characters; names that hold it behind the prefix are folded into one `subdir`. */
  delimiter?: string | undefined
  /** Names behind it (in the order of the listing: before it when reversed). */
  marker?: string | undefined
  /** Names before it (in the order of the listing). */
  endMarker?: string | undefined
  /** 0 to 10000, default 10000. */
  limit?: number | undefined
  reverse?: boolean | undefined
}

export const listingLimitMax = 10_000
