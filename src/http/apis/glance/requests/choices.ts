/** The values of an `in:` filter. */

/**
 * Comma-separated; a value in double quotes may contain commas, and a backslash takes the next character as it is. undefined: a
 * quote is not closed, or stands within a value. One pass: clients send what they like.
 */
export function splitChoices(text: string): string[] | undefined {
  const values: string[] = []
  for (let at = 0; at <= text.length; at++) {
    const start = skipSpaces(text, at)
    if (text[start] === '"') {
      const end = closingQuote(text, start)
      if (end === undefined) return undefined
      values.push(text.slice(start + 1, end).replace(/\\(.)/gs, '$1'))
      at = skipSpaces(text, end + 1)
      if (at < text.length && text[at] !== ',') return undefined
    } else {
      const comma = text.indexOf(',', start)
      at = comma < 0 ? text.length : comma
      const value = text.slice(start, at).trimEnd()
      if (value.includes('"')) return undefined
      values.push(value)
    }
  }
  return values
}

function skipSpaces(text: string, from: number): number {
  let at = from
  while (/\s/.test(text[at] ?? '')) at++
  return at
}

function closingQuote(text: string, opening: number): number | undefined {
  for (let at = opening + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at
  }
  return undefined
}
