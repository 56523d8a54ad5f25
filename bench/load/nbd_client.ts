/** nbd_client.py from TypeScript. Debian's Python: libnbd's binding is there. */

import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const python = '/usr/bin/python3'
const program = fileURLToPath(new URL('nbd_client.py', import.meta.url))

export async function nbdClient<Answer>(args: (string | number)[], input = ''): Promise<Answer> {
  const { stdout } = await execa(python, [program, ...args.map(String)], { input, timeout: 3_600_000 })
  return JSON.parse(stdout) as Answer
}

/** Reads 4 KiB in each `stepBytes`, and keeps the connection while `during` runs. */
export async function whileHeld<Result>(
  { uri, stepBytes, count }: { uri: string; stepBytes: number; count: number },
  during: () => Promise<Result>,
): Promise<Result> {
  const client = execa(python, [program, 'stride', 'hold', uri, String(stepBytes), String(count)], { stdin: 'pipe' })
  try {
    await new Promise<void>((resolve, reject) => {
      client.stdout.once('data', () => resolve())
      client.then(() => reject(new Error('the client left early')), reject)
    })
    return await during()
  } finally {
    client.stdin.end()
    await client
  }
}
