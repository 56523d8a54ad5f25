/**
 * What clone and snapshot cost by the size of what is mapped, against qemu-img on a qcow2 file whose whole map is there
 * (preallocation=metadata). Atoll's own figure is of the core and the engine in this process: catalog, layer tree and records
 * as the server uses them, without HTTP, whose milliseconds would hide what is measured. The peer's is of a whole command.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { openStore, type Store } from '../../src/core/store.js'
import type { ResourceId } from '../../src/lib/ids.js'
import { silentLogger } from '../../src/lib/log.js'
import { blockBytes, GiB, regionBytes, sizeInWords, TiB } from '../../src/lib/units.js'
import { createQcow2 } from '../load/fill.js'
import type { Case, Contender, Room, Stage } from '../plan.js'
import { median } from '../report/statistics.js'

interface Sized {
  /** Makes what is cloned, once for each size; the rest of a size before it goes. */
  ready(sizeBytes: number): Promise<void>
  clone(): Promise<void>
  snapshot(): Promise<void>
}

const sizes = [GiB, 64 * GiB, TiB, 16 * TiB]
const tries = 11
/** Of one call that zeroes: others may wait for its end. */
const zeroBytes = GiB

export const scaleStage: Stage<Sized> = {
  name: 'scale',
  title: 'Clone and snapshot by mapped size (a record for each region)',
  removedLast: true,
  cases: sizes.flatMap((sizeBytes) =>
    (['clone', 'snapshot'] as const).map(
      (what): Case<Sized> => ({
        name: `${what}-${sizeInWords(sizeBytes).replace(' ', '')}`,
        title: `${what} of ${sizeInWords(sizeBytes)}, open and all in memory`,
        unit: 'ms',
        better: 'less',
        rounds: 3,
        quick: sizeBytes === 64 * GiB,
        targets: [{ kind: 'value', atMost: 2 }],
        // A qcow2 file with such a map would be longer than ext4 lets a file be.
        without: sizeBytes >= 16 * TiB ? ['qemu-img'] : [],
        prepare: (sized) => sized.ready(sizeBytes),
        run: async (sized) => ({ value: await medianMs(() => sized[what]()) }),
      }),
    ),
  ),
  open: async (room, wanted) => [await openAtoll(room), ...(wanted('qemu-img') ? [openQemuImg(room)] : [])],
}

async function medianMs(call: () => Promise<void>): Promise<number> {
  const all: number[] = []
  for (let turn = 0; turn < tries; turn++) {
    const begin = performance.now()
    await call()
    all.push(performance.now() - begin)
  }
  return median(all)
}

async function openAtoll(room: Room): Promise<Contender<Sized>> {
  const store = await openStore({ dataDir: join(room.dir, 'atoll'), log: silentLogger() })
  const { tree } = store.core
  let disk: { id: ResourceId; sizeBytes: number; close(): Promise<void> } | undefined
  const current = () => {
    if (disk === undefined) throw new Error('nothing to clone')
    return disk
  }
  const subject: Sized = {
    ready: async (sizeBytes) => {
      if (disk?.sizeBytes === sizeBytes) return
      await disk?.close()
      disk = { sizeBytes, ...(await mapped(store, sizeBytes)) }
    },
    clone: async () => void (await tree.clone(current().id, { sizeBytes: current().sizeBytes }, async (_tx, id) => id)),
    snapshot: async () => void (await tree.snapshot(current().id, async (_tx, id) => id)),
  }
  const close = async () => {
    await disk?.close()
    await store.close()
  }
  return { name: 'atoll', role: 'atoll', subject, close }
}

/**
 * A resource with a record for each of its regions; open, with every region in the map. Up to 1 TiB each has a block of data;
 * above that zeroes are written over all: millions of blocks that lie apart would take the file system half an hour.
 */
async function mapped({ core }: Store, sizeBytes: number): Promise<{ id: ResourceId; close(): Promise<void> }> {
  const id = await core.tree.createBlank({ sizeBytes, mode: 'rw' }, async (_tx, id) => id)
  const lease = await core.tree.lease(id)
  if (sizeBytes > TiB) {
    for (let at = 0; at < sizeBytes; at += zeroBytes) await lease.writeZeroes(at, Math.min(zeroBytes, sizeBytes - at))
    await lease.flush()
    return { id, close: () => lease.close() }
  }
  const block = Buffer.alloc(blockBytes, 'atoll')
  const regions = Math.ceil(sizeBytes / regionBytes)
  for (let first = 0; first < regions; first += 64) {
    const batch = Array.from({ length: Math.min(64, regions - first) }, (_, i) => (first + i) * regionBytes)
    await Promise.all(batch.map((offset) => lease.write(offset, block)))
  }
  await lease.flush()
  return { id, close: () => lease.close() }
}

function openQemuImg(room: Room): Contender<Sized> {
  const file = join(room.dir, 'mapped.qcow2')
  let made = 0
  let count = 0
  const subject: Sized = {
    ready: async (sizeBytes) => {
      if (made === sizeBytes) return
      await rm(file, { force: true })
      await createQcow2(file, sizeBytes, ['-o', 'preallocation=metadata'])
      made = sizeBytes
    },
    clone: async () => {
      const clone = join(room.dir, 'clone.qcow2')
      await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', file, '-F', 'qcow2', clone])
    },
    snapshot: async () => void (await execa('qemu-img', ['snapshot', '-q', '-c', `s${count++}`, file])),
  }
  return { name: 'qemu-img', role: 'peer', subject, close: async () => {} }
}
