/** Writes that are durable when they are answered (FUA), by the small libnbd client: fio's NBD engine has no FUA. */

import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MiB } from '../../src/lib/units.js'
import { createQcow2, fill, patternFile } from '../load/fill.js'
import { nbdClient } from '../load/nbd_client.js'
import type { Case, Contender, Stage } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'
import { nbdServers } from '../servers/nbd_peers.js'

const areaBytes = 256 * MiB

export const fuaStage: Stage<string> = {
  name: 'fua',
  title: 'Writes with FUA (4 KiB, random, buffered, unix socket)',
  cases: [1, 16].map(
    (depth): Case<string> => ({
      name: `fua-4k-d${depth}`,
      title: `depth ${depth}`,
      unit: 'op/s',
      better: 'more',
      quick: depth === 16,
      targets: [{ kind: 'ratio', atLeast: 1 }],
      run: async (uri, { seconds }) => {
        const answer = await nbdClient<{ operations: number; seconds: number }>(['fua', uri, depth, seconds, areaBytes])
        return { value: answer.operations / answer.seconds, operations: answer.operations }
      },
    }),
  ),
  open: async (room, wanted) => {
    const pattern = await patternFile(room.dir, areaBytes)
    const atoll = await startAtoll(join(room.dir, 'atoll'))
    const uri = atoll.uri(await atoll.api.createVolume())
    await fill(uri, pattern)
    const contenders: Contender<string>[] = [
      { name: 'atoll', role: 'atoll', subject: uri, serverPid: () => atoll.pid, close: atoll.stop },
    ]
    for (const [name, { format, serve }] of Object.entries(nbdServers).filter(([name]) => wanted(name))) {
      const file = join(room.dir, `${name.replace(' ', '-')}.img`)
      if (format === 'qcow2') await createQcow2(file, areaBytes)
      else await writeFile(file, '').then(() => truncate(file, areaBytes))
      const { uri, pid, stop } = await serve({ dir: room.dir, file, transport: 'unix', cache: 'buffered' })
      await fill(uri, pattern)
      contenders.push({ name, role: 'peer', subject: uri, serverPid: () => pid, close: stop })
    }
    return contenders
  },
}
