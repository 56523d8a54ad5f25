/**
 * What the commands print. Names come from tenants, and everything here may go to an operator's terminal: control characters would
 * be obeyed by it (escape sequences), and a line feed in a name would look like another line of ours.
 */

// C0, DEL, C1, and what turns the direction of text around or ends a line.
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu

/** The text with escapes such as `\x1b` and `\u202e` in place of what a terminal would obey. For names within a line. */
export function printable(text: string): string {
  return text.replace(unprintable, escaped)
}

function escaped(character: string): string {
  if (character === '\n') return '\\n'
  const code = character.charCodeAt(0).toString(16)
  return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`
}

/** Prints lines to standard output. Line feeds end lines; names in them went through `printable` before. */
export function print(text: string): void {
  console.log(text.split('\n').map(printable).join('\n'))
}

/** Likewise, to standard error. */
export function printError(text: string): void {
  console.error(text.split('\n').map(printable).join('\n'))
}

/** Prints a value as JSON, in which characters that a terminal would obey are escaped as JSON does it. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, undefined, 2)
  console.log(
    text
      .split('\n')
      .map((line) => line.replace(unprintable, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`))
      .join('\n'),
  )
}
