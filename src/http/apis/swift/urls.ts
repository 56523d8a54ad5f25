/** The paths of object storage. */

/** Whether a request target belongs to object storage, including its own login and `/info`. */
export function isObjectStorage(url: string): boolean {
  return /^\/(v1|v1\.0|auth|info|crossdomain\.xml)(\/|\?|$)/.test(url)
}

/** Percent-encodes a name, except its slashes. */
export function encodePath(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}

/** As Python's `urllib.parse.quote` does, which clients compare with. */
export function quotedName(name: string): string {
  return encodePath(name).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** The path of an object; `account` as in the URL. */
export function objectUrl({
  account,
  container,
  object,
}: {
  account: string
  container: string
  object: string
}): string {
  return `/v1/${quotedName(account)}/${quotedName(container)}/${quotedName(object)}`
}

/** Returns one fixed path for all accounts, containers and objects: decoding their names is Swift's own (requests/path.ts). */
export function routedUrl(url: string): string {
  const match = /^\/v1(?:\.0)?(?:\/[^?]*)?(\?.*)?$/.exec(url)
  return match ? `/v1/path${match[1] ?? ''}` : url
}
