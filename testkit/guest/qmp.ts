// qmp.ts: one command for a running QEMU, over its monitor's socket (QMP, docs/interop/qmp-spec).

import { once } from 'node:events'
import { createConnection } from 'node:net'
import { createInterface } from 'node:readline'

/** Answers what the command returns; rejects with QEMU's error. Events are passed over. */
export async function qmp(socketPath: string, execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
  const socket = createConnection(socketPath)
  try {
    await once(socket, 'connect')
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
    const answer = async () => {
      for (;;) {
        const { value, done } = await lines.next()
        if (done) throw new Error('QEMU closed its monitor')
        const message = JSON.parse(value) as { QMP?: unknown; return?: unknown; error?: { desc: string } }
        if (message.error) throw new Error(`${execute}: ${message.error.desc}`)
        if ('QMP' in message || 'return' in message) return message.return
      }
    }
    await answer() // the greeting
    socket.write(`${JSON.stringify({ execute: 'qmp_capabilities' })}\n`)
    await answer()
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`)
    return await answer()
  } finally {
    socket.destroy()
  }
}
