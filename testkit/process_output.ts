/** What a process that goes on running has said so far. */

import type { Readable } from 'node:stream'

/** Resolves with all of its standard output once that matches; rejects with it when the output ends before. */
export async function untilItSays({ stdout }: { stdout: Readable }, words: RegExp): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    stdout.on('data', (piece) => {
      text += piece
      if (words.test(text)) resolve(text)
    })
    stdout.on('end', () => reject(new Error(`it ended without saying ${words}:\n${text}`)))
  })
}
