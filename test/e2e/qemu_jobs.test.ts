// QEMU's block jobs with an export as their target: what they ask to be zeroed (with NO_HOLE, see docs/reference/nbd.md) takes no space.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { qmp } from '../../testkit/guest/qmp.js'
import { generations, type NbdClients, tool } from '../../testkit/nbd_tools.js'
import { answers } from '../../testkit/ports.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { dataBytes } from '../../testkit/space.js'

t.setTimeout(300_000)

const MiB = 2 ** 20
const size = 1024 * MiB
/** In each of them 8 MiB of data; all else is a hole. */
const islands = [0, 100 * MiB, 333 * MiB, 700 * MiB, size - 8 * MiB]
const dataSize = islands.length * 8 * MiB

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

const source = join(server.scratchDir, 'source')
const file = await open(source, 'w')
await file.truncate(size)
for (const at of islands) await file.write(randomBytes(8 * MiB), 0, 8 * MiB, at)
await file.close()

/** A QEMU without a machine, which only copies. Returns the path of its monitor. */
async function startQemu(clients: NbdClients, name: string): Promise<{ monitor: string; end(): Promise<void> }> {
  const monitor = join(server.scratchDir, `${name}.sock`)
  const bare = ['-machine', 'none', '-nodefaults', '-display', 'none']
  const qemu = execa(
    ...clients.command('qemu-system-x86_64', [...bare, '-qmp', `unix:${monitor},server=on,wait=off`]),
    { all: true, reject: false, stdin: 'ignore' },
  )
  const ended = once(qemu, 'exit')
  for (;;) {
    if (qemu.exitCode !== null) throw new Error(`QEMU ended: ${(await qemu).all}`)
    // The file is there before QEMU listens.
    if (await answers({ path: monitor })) break
    await sleep(20)
  }
  const end = async () => {
    if (qemu.exitCode === null) await qmp(monitor, 'quit')
    await ended
  }
  return { monitor, end }
}

interface Job {
  status: string
  error?: string
}

/** Runs a job to its end. Throws what it failed for. */
async function runJob(monitor: string, job: 'blockdev-backup' | 'blockdev-mirror'): Promise<void> {
  await qmp(monitor, job, {
    'job-id': 'copy',
    device: 'source',
    target: 'target',
    sync: 'full',
    'auto-dismiss': false,
  })
  for (;;) {
    const [state] = (await qmp(monitor, 'query-jobs')) as [Job]
    // A mirror goes on until it is told that the target may be used.
    if (state.status === 'ready') await qmp(monitor, 'job-complete', { id: 'copy' })
    else if (state.status === 'concluded') {
      if (state.error !== undefined) throw new Error(`${job}: ${state.error}`)
      break
    }
    await sleep(50)
  }
  await qmp(monitor, 'job-dismiss', { id: 'copy' })
}

for (const [index, clients] of generations.entries()) {
  for (const job of ['blockdev-backup', 'blockdev-mirror'] as const) {
    t.test(`${clients.name}: ${job} to an export stores the data and none of the zeros`, async (t) => {
      const volume = await api.createVolume({})
      const before = await dataBytes(server.dataDir)
      const qemu = await startQemu(clients, `${job}-${index}`)
      try {
        await qmp(qemu.monitor, 'blockdev-add', { driver: 'file', 'node-name': 'source', filename: source })
        await qmp(qemu.monitor, 'blockdev-add', {
          driver: 'nbd',
          'node-name': 'target',
          server: { type: 'unix', path: server.nbdSocket },
          export: volume,
        })
        await runJob(qemu.monitor, job)
      } finally {
        await qemu.end()
      }
      const copy = join(server.scratchDir, 'copy')
      await clients.run('nbdcopy', [server.operatorUri(volume), copy])
      await tool('cmp', [source, copy])
      const taken = (await dataBytes(server.dataDir)) - before
      t.ok(taken >= dataSize, `at least the data is stored: ${taken} bytes`)
      t.ok(taken <= dataSize + MiB, `and hardly more than the data: ${taken} bytes for ${dataSize}`)
    })
  }
}
