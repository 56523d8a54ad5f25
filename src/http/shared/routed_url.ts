/**
 * The paths of object storage are Swift's to decode (swift/path.ts): the router sees one fixed name in their place. The
 * original is `request.originalUrl`.
 */
export function routedUrl(url: string): string {
  const match = /^\/v1(?:\.0)?(?:\/[^?]*)?(\?.*)?$/.exec(url)
  return match ? `/v1/path${match[1] ?? ''}` : url
}
