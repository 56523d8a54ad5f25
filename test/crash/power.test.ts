// Power cuts of the real server, on each file system it is for: ATOLL_CUTS of them for each (5 unless told; scripts/power-cuts makes
// hundreds). And the cuts are put to the test themselves: they must find out a server that forgets to sync.

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Cleanup } from '../../testkit/power/cleanup.js'
import { chooseCuts, judgeCuts } from '../../testkit/power/cuts.js'
import { fileSystems } from '../../testkit/power/disk.js'
import { record } from '../../testkit/power/recording.js'

const cuts = Number(process.env['ATOLL_CUTS'] ?? 5)
const seed = process.env['ATOLL_SEED'] ?? randomBytes(4).toString('hex')

t.setTimeout(600_000 + cuts * 30_000)

/** What a record of load gives, and then goes. */
async function withRecording(
  options: Parameters<typeof record>[1],
  use: (recording: Awaited<ReturnType<typeof record>>) => Promise<void>,
): Promise<void> {
  const cleanup = new Cleanup()
  try {
    await use(await record(cleanup, options))
  } finally {
    await cleanup.run()
  }
}

for (const fileSystem of fileSystems) {
  t.test(`${fileSystem}: ${cuts} power cuts lose nothing that was answered (seed ${seed})`, async (t) => {
    await withRecording({ fileSystem, seed, lives: 2, lifeMs: 2000 }, async (recording) => {
      const { writes, flushes, steps } = recording.answered
      t.comment(`answered: ${writes} writes, ${flushes} flushes, ${steps} API steps`)
      t.ok(writes > 0 && flushes > 0 && steps > 0, 'each kind of work was under way')
      const chosen = chooseCuts(recording, { count: cuts, seed })
      for await (const { position, keep, unflushed, wrong } of judgeCuts(recording, chosen))
        t.strictSame(wrong, [], `after ${position} entries, ${keep}: ${unflushed}`)
    })
  })
}

// Private data, uploads, records (RocksDB's log), rows (SQLite's log).
for (const forgetting of ['store/data', 'store/content', '.log', 'catalog.db-wal']) {
  t.test(`a server that does not sync ${forgetting} is found out`, async (t) => {
    await withRecording({ fileSystem: 'ext4', seed, lives: 1, lifeMs: 1500, forgetting }, async (recording) => {
      let tried = 0
      let found: string[] = []
      // The kernel writes back some of it by itself, so that not every cut has to show it.
      const chosen = chooseCuts(recording, { count: 10, seed, startToo: false })
      for await (const { wrong } of judgeCuts(recording, chosen)) {
        tried++
        found = wrong
        if (found.length > 0) break
      }
      t.not(found.length, 0, `${tried} cuts`)
      t.comment(`cut ${tried}: ${found[0]?.slice(0, 200)}`)
    })
  })
}
