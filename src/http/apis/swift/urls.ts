/** The paths of object storage. */

/** Whether a request target belongs to object storage, including its own login and `/info`. */
export function isObjectStorage(url: string): boolean {
  return /^\/(v1|v1\.0|auth|info|crossdomain\.xml)(\/|\?|$)/.test(url)
}

/** Returns one fixed path for all accounts, containers and objects: decoding their names is Swift's own (requests/path.ts). */
export function routedUrl(url: string): string {
  const match = /^\/v1(?:\.0)?(?:\/[^?]*)?(\?.*)?$/.exec(url)
  return match ? `/v1/path${match[1] ?? ''}` : url
}
