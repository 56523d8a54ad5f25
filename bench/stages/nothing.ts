/**
 * What a client waits for when it asks about, or discards, a large disk that holds nothing: `nbdcopy`, `qemu-img` and `mkfs` do one
 * or the other first of all. Requests are as large as 32-bit lengths allow, one after the other.
 */

import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GiB, sizeInWords, TiB } from '../../src/lib/units.js'
import { createQcow2 } from '../load/fill.js'
import { nbdClient } from '../load/nbd_client.js'
import type { Case, Contender, Stage } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { nbdServers } from '../servers/nbd_peers.js'

// ext4 lets a file of a peer be just below 16 TiB.
const sizeBytes = 8 * TiB

const commands = {
  map: { title: 'the whole map', without: ['nbd-server'] }, // it has no block status
  discard: { title: 'a discard of all of it', without: [] },
}

export const nothingStage: Stage<string> = {
  name: 'nothing',
  title: `An empty disk of ${sizeInWords(sizeBytes)} (unix socket)`,
  cases: Object.entries(commands).map(
    ([command, { title, without }]): Case<string> => ({
      name: `nothing-${command}`,
      title,
      unit: 'ms',
      better: 'less',
      quick: true,
      without,
      targets: [{ kind: 'ratio', atLeast: 1 }],
      run: async (uri) => {
        const { ms, operations } = await nbdClient<{ ms: number; operations: number }>([command, uri])
        return { value: ms, operations }
      },
    }),
  ),
  open: async (room, wanted) => {
    const atoll = await startAtoll(join(room.dir, 'atoll'))
    const uri = atoll.uri(await atoll.api.createVolume({ size: sizeBytes / GiB }))
    const contenders: Contender<string>[] = [
      { name: 'atoll', role: 'atoll', subject: uri, serverPid: () => atoll.pid, close: atoll.stop },
    ]
    for (const [name, { format, serve }] of Object.entries(nbdServers).filter(([name]) => wanted(name))) {
      const file = join(room.dir, `${name.replace(' ', '-')}.img`)
      if (format === 'qcow2') await createQcow2(file, sizeBytes)
      else await writeFile(file, '').then(() => truncate(file, sizeBytes))
      const { uri, pid, stop } = await serve({ dir: room.dir, file, transport: 'unix', cache: 'buffered' })
      contenders.push({ name, role: 'peer', subject: uri, serverPid: () => pid, close: stop })
    }
    return contenders
  },
}
