// The writer that judges the crash tests is judged itself: it must see the damage that it is there to see.

import { copyFile, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import t from 'tap'
import { GiB } from '../../src/lib/units.js'
import { Writer } from '../../testkit/load/writer.js'

t.setTimeout(120_000)

/** A server that nobody doubts (nbdkit), on a file, with a writer. */
async function setUp(t: Tap) {
  const dir = await mkdtemp(join(tmpdir(), 'atoll-writer-'))
  const disk = join(dir, 'disk')
  const uri = `nbd+unix:///?socket=${join(dir, 'sock')}`
  await writeFile(disk, '')
  await truncate(disk, GiB)
  const writer = new Writer({ sizeBytes: GiB, seed: 'writer.test' })
  const start = async () => {
    const server = execa('nbdkit', ['-f', '-U', join(dir, 'sock'), 'file', disk], { reject: false })
    for (let tries = 0; tries < 100; tries++) {
      if ((await execa('nbdinfo', ['--size', uri], { reject: false })).exitCode === 0) break
      await sleep(50)
    }
    return {
      async kill() {
        server.kill('SIGKILL')
        await server
        await rm(join(dir, 'sock'), { force: true })
      },
    }
  }
  let server = await start()
  t.teardown(async () => {
    await writer.end()
    await server.kill()
    await rm(dir, { recursive: true })
  })
  /** Load, a kill, a restart. */
  const round = async (meanwhile: () => Promise<void> = async () => {}) => {
    const { ended } = await writer.load(uri, 60)
    await sleep(700)
    await meanwhile()
    await sleep(300)
    await server.kill()
    const result = await ended
    server = await start()
    return result
  }
  return { disk, dir, uri, writer, round }
}
type Tap = { teardown(end: () => Promise<void>): void }

t.test('a server that keeps its promises passes, twice', async (t) => {
  const { uri, writer, round } = await setUp(t)
  for (const whole of [false, true]) {
    const load = await round()
    t.ok(load.died && load.flushes > 0)
    t.strictSame(load.failed, [])
    t.match(await writer.verify(uri, { whole }), { badCount: 0, bad: [] })
  }
})

t.test('a disk that went back to what it was a moment ago is found out', async (t) => {
  const { disk, dir, uri, writer, round } = await setUp(t)
  await round(() => copyFile(disk, join(dir, 'old')))
  await copyFile(join(dir, 'old'), disk)
  t.ok((await writer.verify(uri)).badCount > 0)
})

t.test('one torn sector is found out, and one byte that nobody wrote', async (t) => {
  const { disk, uri, writer, round } = await setUp(t)
  await round()
  t.equal((await writer.verify(uri)).badCount, 0)
  const { stdout } = await execa('nbdinfo', ['--map', uri])
  const written = Number(/^\s*(\d+)\s+\d+\s+0\b/m.exec(stdout)?.[1])
  const file = await open(disk, 'r+')
  await file.write(Buffer.from([1]), 0, 1, written + 100)
  t.equal((await writer.verify(uri)).badCount, 1)
  const end = GiB - 1 // no place to write in reaches it with this seed
  await file.write(Buffer.from([1]), 0, 1, end)
  await file.close()
  t.match((await writer.verify(uri, { whole: true })).bad.join(), 'that nobody wrote')
})
