/** Words for a POSIX shell. */

/** Text as one word of a script, whatever is in it. Words of harmless characters stay as they are. */
export function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
