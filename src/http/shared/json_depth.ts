/**
 * How deep a JSON text nests. `JSON.parse` takes any depth, but what walks the value afterwards (validation,
 * `JSON.stringify`) calls itself for each level, and 100,000 of them fit into a small body.
 */

/** No body of any API needs more than ten. */
const depthMax = 64

/** Looks at brackets outside of strings only; the text need not be well-formed. */
export function nestsTooDeep(json: string): boolean {
  let depth = 0
  let inString = false
  for (let at = 0; at < json.length; at++) {
    const character = json[at]
    if (inString) {
      if (character === '\\') at++
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === '[' || character === '{') {
      depth += 1
      if (depth > depthMax) return true
    } else if (character === ']' || character === '}') depth -= 1
  }
  return false
}
