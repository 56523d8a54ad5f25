/** Times as Swift writes them. All take milliseconds since 1970. */

/** `X-Timestamp`: seconds with five decimals. */
export function timestampHeader(timeMs: number): string {
  return (timeMs / 1000).toFixed(5).padStart(16, '0')
}

/** Whole seconds, rounded up: a client that asks "modified since what you told me" must not be told yes for ever. */
export function lastModifiedSeconds(timeMs: number): number {
  return Math.ceil(timeMs / 1000)
}

export function lastModifiedHeader(timeMs: number): string {
  return new Date(lastModifiedSeconds(timeMs) * 1000).toUTCString()
}

/** Listings: ISO 8601 in UTC with six decimals and no zone. */
export function listingTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '000')
}
