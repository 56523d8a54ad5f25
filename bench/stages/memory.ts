/** Memory that the server holds for a mapped TiB while it is open: everything in one piece, and a block in each region. */

import { join } from 'node:path'
import { GiB, MiB, regionBytes, TiB } from '../../src/lib/units.js'
import { nbdClient, whileHeld } from '../load/nbd_client.js'
import type { Case, Stage } from '../plan.js'
import { anonymousBytesOf } from '../process_tree.js'
import { type AtollServer, startAtoll } from '../servers/atoll.js'

const sizeBytes = TiB

const layouts = {
  uniform: {
    title: '1 TiB, every region uniform (written as zeroes)',
    targets: [{ kind: 'value' as const, atMost: 4 }],
    write: (uri: string) => nbdClient(['zeroes', uri, sizeBytes]),
  },
  fragmented: {
    title: '1 TiB, every region mixed (a block of data in each)',
    targets: [],
    write: (uri: string) => nbdClient(['stride', 'write', uri, regionBytes, sizeBytes / regionBytes]),
  },
}

/** The server is new in each run, so that what it held before counts for nothing. */
interface Fresh {
  dir: string
}

export const memoryStage: Stage<Fresh> = {
  name: 'memory',
  title: 'Memory for a TiB (anonymous, of the whole server, above what it has when idle)',
  removedLast: true,
  cases: Object.entries(layouts).map(
    ([name, { title, targets, write }]): Case<Fresh> => ({
      name: `memory-${name}`,
      title,
      unit: 'MiB',
      better: 'less',
      rounds: 1,
      targets,
      run: async ({ dir }) => {
        const before = await startAtoll(join(dir, name))
        const volume = await stopAfter(before, async ({ api, uri }) => {
          const made = await api.createVolume({ size: sizeBytes / GiB })
          await write(uri(made))
          return made
        })
        const server = await startAtoll(join(dir, name))
        const value = await stopAfter(server, async () => (await heldBytes(server, server.uri(volume))) / MiB)
        return { value }
      },
    }),
  ),
  open: async (room) => [{ name: 'atoll', role: 'atoll', subject: { dir: room.dir }, close: async () => {} }],
}

/** Whatever becomes of the work: a server that lived on would keep the bench from ending. */
async function stopAfter<T>(server: AtollServer, work: (server: AtollServer) => Promise<T>): Promise<T> {
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

async function heldBytes({ pid }: AtollServer, uri: string): Promise<number> {
  const idle = anonymousBytesOf(pid)
  const held = await whileHeld({ uri, stepBytes: regionBytes, count: sizeBytes / regionBytes }, async () =>
    anonymousBytesOf(pid),
  )
  return held - idle
}
