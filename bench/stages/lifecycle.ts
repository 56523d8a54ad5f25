/** From an image to a volume that can be used, and from a deleted volume to free space. */

import { createReadStream } from 'node:fs'
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { GiB, MiB } from '../../src/lib/units.js'
import type { Api } from '../../testkit/api.js'
import { dataBytes } from '../../testkit/space.js'
import { fill, patternFile } from '../load/fill.js'
import type { Contender, Room, Sample, Stage } from '../plan.js'
import { startAtoll } from '../servers/atoll.js'

// ---- image → volume ----

interface Imaged {
  /** What the last run made goes. */
  tidy(): Promise<void>
  make(): Promise<void>
}

export const imageStage: Stage<Imaged> = {
  name: 'image-to-volume',
  title: 'A volume from an image of random bytes (10 GiB; quick: 1 GiB)',
  cases: [
    {
      name: 'image-to-volume',
      title: 'until it can be attached',
      unit: 'ms',
      better: 'less',
      rounds: 3,
      quick: true,
      prepare: (imaged) => imaged.tidy(),
      run: async (imaged) => ({ value: await msOf(() => imaged.make()) }),
    },
  ],
  open: async (room, wanted) => {
    const sizeBytes = room.quick ? GiB : 10 * GiB
    const image = await patternFile(room.dir, sizeBytes)
    const contenders = [await openAtoll(room, image, sizeBytes)]
    const volume = join(room.dir, 'volume.img')
    // What Cinder's own drivers do: a copy. And the cheapest that QEMU has: an overlay.
    const commands = {
      'qemu-img convert': ['convert', '-O', 'raw', image, volume],
      'qemu-img create -b': ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw', volume],
    }
    for (const [name, args] of Object.entries(commands).filter(([name]) => wanted(name))) {
      const subject = {
        tidy: () => rm(volume, { force: true }),
        make: async () => void (await execa('qemu-img', args)),
      }
      contenders.push({ name, role: 'peer', subject, close: async () => {} })
    }
    return contenders
  },
}

async function openAtoll(room: Room, path: string, sizeBytes: number): Promise<Contender<Imaged>> {
  const { api, pid, stop } = await startAtoll(join(room.dir, 'atoll'))
  const imageRef = await upload(api, path)
  let volume: string | undefined
  const tidy = async () => {
    if (volume !== undefined) await api.delete('volumes', volume)
    volume = undefined
  }
  const make = async () => {
    volume = await api.createVolume({ imageRef, size: sizeBytes / GiB })
  }
  return { name: 'atoll', role: 'atoll', subject: { tidy, make }, serverPid: () => pid, close: stop }
}

async function upload(api: Api, path: string): Promise<string> {
  const made = await api.call('POST', '/image/v2/images', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench', disk_format: 'raw', container_format: 'bare' }),
  })
  const { id } = (await made.json()) as { id: string }
  const answer = await api.call('PUT', `/image/v2/images/${id}/file`, {
    headers: { 'content-type': 'application/octet-stream' },
    // As it is read: Readable.toWeb() would take in gigabytes ahead of the server.
    body: createReadStream(path),
    duplex: 'half',
  })
  if (answer.status !== 204) throw new Error(`the upload of the image: ${answer.status} ${await answer.text()}`)
  return id
}

// ---- deletion ----

interface Deletable {
  fill(): Promise<void>
  /** Resolves when the answer is there. */
  delete(): Promise<void>
  usedBytes(): Promise<number>
}

const deletedBytes = 256 * MiB

export const deleteStage: Stage<Deletable> = {
  name: 'delete',
  title: 'Deletion of 256 MiB of data',
  cases: [
    {
      name: 'delete-space',
      title: 'until the file system has the space again',
      unit: 'ms',
      better: 'less',
      rounds: 3,
      quick: true,
      prepare: (one) => one.fill(),
      run: deleteAndWait,
    },
  ],
  open: async (room, wanted) => {
    const pattern = await patternFile(room.dir, deletedBytes)
    const contenders = [await deletableVolume(room, pattern)]
    if (wanted('rm')) contenders.push(deletableFile(room, pattern))
    return contenders
  },
}

async function deleteAndWait(one: Deletable): Promise<Sample> {
  const before = await one.usedBytes()
  let answered = 0
  const value = await msOf(async () => {
    answered = await msOf(() => one.delete())
    while ((await one.usedBytes()) > before - deletedBytes) await sleep(1)
  })
  return { value, more: { 'answered ms': answered } }
}

async function deletableVolume(room: Room, pattern: string): Promise<Contender<Deletable>> {
  const { api, dataDir, pid, uri, stop } = await startAtoll(join(room.dir, 'atoll'))
  let id = ''
  const subject: Deletable = {
    fill: async () => {
      id = await api.createVolume()
      await fill(uri(id), pattern)
    },
    delete: async () => void (await api.expect(202, 'DELETE', `/volume/v3/${api.projectId}/volumes/${id}`)),
    usedBytes: () => dataBytes(dataDir),
  }
  return { name: 'atoll', role: 'atoll', subject, serverPid: () => pid, close: stop }
}

function deletableFile(room: Room, pattern: string): Contender<Deletable> {
  const file = join(room.dir, 'file.img')
  const subject: Deletable = {
    fill: () => copyFile(pattern, file),
    delete: () => rm(file),
    usedBytes: async () => Number.parseInt((await execa('du', ['-s', '--block-size=1', room.dir])).stdout, 10),
  }
  return { name: 'rm', role: 'ceiling', subject, close: async () => {} }
}

async function msOf(call: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await call()
  return performance.now() - begin
}
