/** Returns the entity tags of an If-Match header, without quotes. */
export function entityTags(condition: string): string[] {
  return condition.split(',').map((text) => text.trim().replace(/^"(.*)"$/, '$1'))
}
