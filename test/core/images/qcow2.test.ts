import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Volume } from '../../../src/core/model/records.js'
import { MiB } from '../../../src/lib/units.js'
import { pieces, type Teardown, TestStore } from '../support.js'

const directory = t.testdir()
const rawPath = join(directory, 'disk.raw')
const diskBytes = 48 * MiB
const disk = Buffer.alloc(diskBytes)
for (const start of [0, 5 * MiB + 100, 40 * MiB]) {
  for (let at = start; at < start + MiB; at++) disk[at] = (at * 31 + (at >> 11)) & 0xff
}
writeFileSync(rawPath, disk)

function qemuImg(...args: string[]): void {
  execFileSync('qemu-img', args, { stdio: 'ignore', cwd: directory })
}

function newQcow2(name: string, ...options: string[]): string {
  const path = join(directory, `${name}.qcow2`)
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, rawPath, path)
  return path
}

const qcow2 = { diskFormat: 'qcow2', containerFormat: 'bare' }
const forms = {
  'version 3': [],
  'version 2': ['-o', 'compat=0.10'],
  'compressed by zlib': ['-c'],
  'compressed by zstd': ['-c', '-o', 'compression_type=zstd'],
  'with extended L2 entries': ['-o', 'extended_l2=on,cluster_size=128k'],
  'of small clusters': ['-o', 'cluster_size=512'],
}

async function setUp(t: Teardown) {
  const store = await TestStore.open(t)
  const alice = await store.caller('alice')
  store.core.startBackground()
  const upload = async (path: string, image = {}) => {
    const { images } = store.core
    const { id } = await images.create(alice, { ...qcow2, name: 'cloud image', ...image })
    return images.upload(alice, id, { body: createReadStream(path) })
  }
  const newVolume = (id: string) => store.core.volumeSources.create(alice, { source: { kind: 'image', id } })
  const bytesOf = async (id: string, lengthBytes = diskBytes): Promise<Buffer> => {
    const { resourceId } = await store.core.volumes.get(alice, id)
    const lease = await store.core.tree.lease(resourceId)
    try {
      return await lease.read(0, lengthBytes)
    } finally {
      await lease.close()
    }
  }
  return { store, alice, upload, newVolume, bytesOf }
}

t.test('qcow2 images of every form become volumes with the bytes of their disk', async (t) => {
  const { store, alice, upload, newVolume, bytesOf } = await setUp(t)
  for (const [form, options] of Object.entries(forms)) {
    const image = await upload(newQcow2(form.replaceAll(' ', '_'), ...options))
    t.equal(image.virtualSizeBytes, diskBytes, form)
    const volume = await newVolume(image.id)
    t.match(volume, { status: 'creating', sizeGib: 1, bootable: true, imageId: image.id })
    await store.core.twins.idle()
    t.equal((await store.core.volumes.get(alice, volume.id)).status, 'available', form)
    for (const { message } of await store.core.catalog.db.selectFrom('jobs').selectAll().execute()) t.equal(message, '')
    t.ok((await bytesOf(volume.id)).equals(disk), form)
  }
})

t.test('twenty volumes at once from an image that was never used: one conversion', async (t) => {
  const { store, alice, upload, newVolume, bytesOf } = await setUp(t)
  const { id } = await upload(newQcow2('many'))
  const volumes = await Promise.all(Array.from({ length: 20 }, () => newVolume(id)))
  await store.core.twins.idle()
  const jobs = await store.core.catalog.db.selectFrom('jobs').selectAll().execute()
  t.match(jobs, [{ image_id: id, state: 'done', progress: 100, attempts: 1, resource_id: null }])
  const status = async ({ id }: Volume) => (await store.core.volumes.get(alice, id)).status
  t.same(new Set(await Promise.all(volumes.map(status))), new Set(['available']))
  t.ok((await bytesOf(String(volumes[19]?.id))).equals(disk))
  t.equal((await newVolume(id)).status, 'available', 'the next one is a clone at once')
  const file = createHash('md5')
    .update(readFileSync(join(directory, 'many.qcow2')))
    .digest('hex')
  t.equal((await store.core.images.get(alice, id)).md5, file, 'the image itself is the file that was uploaded')
})

t.test('an interrupted conversion begins again, and no volume waits forever', async (t) => {
  const { store, alice, upload, newVolume, bytesOf } = await setUp(t)
  const { id } = await upload(newQcow2('interrupted'))
  const volume = await newVolume(id)
  await store.restart()
  await store.core.twins.idle()
  t.equal((await store.core.volumes.get(alice, volume.id)).status, 'available')
  t.ok((await bytesOf(volume.id)).equals(disk))
  // As if the server had been killed while it wrote.
  const { catalog } = store.core
  await store.core.tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, async ({ db }, resource) => {
    const left = { state: 'running', resource_id: resource, size_bytes: MiB, attempts: 3 } as const
    await db.updateTable('jobs').set(left).execute()
    await db.updateTable('volumes').set({ status: 'creating' }).execute()
  })
  await catalog.transaction(({ db }) => db.deleteFrom('image_twins').execute())
  await store.restart()
  await store.core.twins.idle()
  t.match(await store.core.catalog.db.selectFrom('jobs').selectAll().execute(), [
    { state: 'error', message: 'it was interrupted 3 times', resource_id: null },
  ])
  t.equal((await store.core.volumes.get(alice, volume.id)).status, 'error', 'nothing waits forever')
  await store.core.volumes.delete(alice, volume.id)
  await store.core.images.delete(alice, id)
})

t.test('an image that is deleted takes its twin along, and volumes keep their bytes', async (t) => {
  const { store, alice, upload, newVolume, bytesOf } = await setUp(t)
  const empty = await store.layersLeft()
  const { id } = await upload(newQcow2('deleted'))
  const volume = await newVolume(id)
  await store.core.twins.idle()
  await store.core.images.delete(alice, id)
  t.same(await store.core.catalog.db.selectFrom('image_twins').selectAll().execute(), [])
  t.ok((await bytesOf(volume.id)).equals(disk))
  await store.core.volumes.delete(alice, volume.id)
  t.same(await store.layersLeft(), empty)
})

t.test('an image that was registered from an object is inspected when it is used', async (t) => {
  const { store, alice, newVolume, bytesOf } = await setUp(t)
  const { containers, objects, imageSources, volumes } = store.core
  const projectId = alice.project.id
  await containers.put(alice, { projectId, container: 'disks' })
  const register = async (object: string, data: Buffer) => {
    await objects.put(alice, { projectId, container: 'disks', object }, { body: pieces(data), contentType: 'x/y' })
    const url = `swift://AUTH_${projectId}/disks/${object}`
    return imageSources.create(alice, { ...qcow2, name: object }, { url })
  }
  const image = await register('good', readFileSync(newQcow2('registered')))
  t.equal(image.virtualSizeBytes, null)
  const volume = await newVolume(image.id)
  await store.core.twins.idle()
  t.equal((await volumes.get(alice, volume.id)).status, 'available')
  t.ok((await bytesOf(volume.id)).equals(disk))
  const bad = await register('bad', Buffer.from('no qcow2 at all'))
  await t.rejects(newVolume(bad.id), { code: 'image_refused', status: 400 })
})

t.test('hostile and broken images are refused at upload, before any tool sees them', async (t) => {
  const { store, alice, upload } = await setUp(t)
  const good = readFileSync(newQcow2('good'))
  const changed = (offset: number, ...bytes: number[]) => {
    const copy = Buffer.from(good)
    Buffer.from(bytes).copy(copy, offset)
    return copy
  }
  const backing = join(directory, 'backing.qcow2')
  qemuImg('create', '-f', 'qcow2', '-b', rawPath, '-F', 'raw', backing)
  const dataFile = join(directory, 'data.qcow2')
  qemuImg('create', '-f', 'qcow2', '-o', `data_file=${join(directory, 'x.raw')},data_file_raw=on`, dataFile, '1M')
  const snapshots = newQcow2('snapshots')
  qemuImg('snapshot', '-c', 'inside', snapshots)
  const images: Record<string, [data: Buffer, message: RegExp]> = {
    'a backing file': [readFileSync(backing), /has a backing file/],
    'an external data file': [readFileSync(dataFile), /external data file/],
    'internal snapshots': [readFileSync(snapshots), /internal snapshots/],
    encryption: [changed(32, 0, 0, 0, 2), /is encrypted/],
    'the corrupt mark': [changed(72, 0, 0, 0, 0, 0, 0, 0, 2), /marked as corrupt/],
    'unknown features': [changed(72, 0x80), /are unknown/],
    'version 4': [changed(4, 0, 0, 0, 4), /version 4 is unknown/],
    'clusters of 2^63': [changed(20, 0, 0, 0, 63), /cluster size/],
    'a disk of 2^62 bytes': [changed(24, 0x40), /is larger than/],
    'a table that is too short': [changed(36, 0, 0, 0, 0), /does not fit/],
    'a table of 2^32 entries': [changed(36, 255, 255, 255, 255), /does not fit/],
    'a table beyond its end': [changed(40, 0x10), /outside of the file/],
    'a header length of 2^32': [changed(100, 255, 255, 255, 248), /do not end/],
    'only its header': [good.subarray(0, 104), /outside of the file/],
    'half a header': [good.subarray(0, 50), /ends within its header/],
    'no bytes': [Buffer.alloc(0), /no qcow2/],
    'other bytes': [Buffer.from('KDMV and so on'), /a vmdk image, but the disk_format is qcow2/],
  }
  for (const [what, [data, message]] of Object.entries(images)) {
    const path = join(directory, 'hostile')
    writeFileSync(path, data)
    await t.rejects(upload(path), { code: 'image_refused', status: 400, message }, what)
  }
  const path = join(directory, 'good.qcow2')
  const wrong = { message: /the data is a qcow2 image, but the disk_format is raw/ }
  await t.rejects(upload(path, { diskFormat: 'raw' }), wrong, 'qcow2 that is called raw')
  for (const { id, status } of await store.core.images.list(alice, {})) {
    t.equal(status, 'queued', 'it takes other data')
    await store.core.images.delete(alice, id)
  }
  t.same(await store.core.catalog.db.selectFrom('resources').selectAll().execute(), [], 'nothing is left')
})

t.test('an image whose tables are broken ends in an error, and its volume too', async (t) => {
  const { store, alice, upload, newVolume } = await setUp(t)
  const data = readFileSync(newQcow2('tables'))
  const l1 = Number(data.readBigUInt64BE(40))
  // The first table of clusters does not begin with a cluster.
  data.writeBigUInt64BE(0x8000_0000_0000_0200n, l1)
  const path = join(directory, 'broken_tables')
  writeFileSync(path, data)
  const { id } = await upload(path)
  const volume = await newVolume(id)
  await store.core.twins.idle()
  t.equal((await store.core.volumes.get(alice, volume.id)).status, 'error')
  const [job] = await store.core.catalog.db.selectFrom('jobs').selectAll().execute()
  t.match(job, { state: 'error', message: /^the image could not be converted: /, resource_id: null })
  await store.core.volumes.delete(alice, volume.id)
})
