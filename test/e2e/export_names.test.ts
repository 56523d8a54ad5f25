// Exports that the operator's clients name by the name of a volume, snapshot or image: with real clients, of both generations.

import t from 'tap'
import { Api } from '../../testkit/api.js'
import { generations, nbdsh, newestClients } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(180_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

const uriOf = (name: string) => server.operatorUri(encodeURIComponent(name))

/** What a client says that must fail. */
async function failure(running: Promise<string>): Promise<string> {
  const said = await running.then((output) => `it succeeded: ${output}`, String)
  t.notMatch(said, /^it succeeded/)
  return said
}

const connections = async (label: string) =>
  (await server.status()).exports.find(({ name }) => name === label)?.connections ?? 0

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
}

for (const clients of generations) {
  t.test(`${clients.name}: a volume, a snapshot and an image by their names`, async (t) => {
    const name = `Daten für ${clients.name} – “2 %” 𝛼/β?`
    const volume = await api.createVolume({ name })
    await clients.nbdsh(server.operatorUri(volume), "h.pwrite(b'by id' + bytes(507), 0)")
    const snapshot = await api.createSnapshot({ volumeId: volume, name: `${name} (snapshot)` })
    const image = await api.createImage({ name: `${name} (image)`, bytes: Buffer.alloc(4096, 'i') })
    t.match(await clients.run('nbdinfo', [uriOf(name)]), `volume ${volume} (${name})`)
    t.match(await clients.run('nbdinfo', [uriOf(`${name} (snapshot)`)]), `snapshot ${snapshot} `)
    t.match(await clients.run('nbdinfo', [uriOf(`${name} (image)`)]), `image ${image} `)
    t.match(await clients.run('qemu-img', ['info', uriOf(name)]), /virtual size: 1 GiB/)
    await clients.nbdsh(uriOf(name), "assert h.pread(5, 0) == b'by id'\nh.pwrite(b'by name', 512)")
    await clients.nbdsh(server.operatorUri(volume), "assert h.pread(7, 512) == b'by name'")
    const bitmap = `--map=qemu:dirty-bitmap:${snapshot}`
    t.match(await clients.run('nbdinfo', [bitmap, uriOf(name)]), /^\s+0\s+4096\s+1\s/m, 'metadata contexts')
    // What has no ID for a name in LIST cannot be told from another of the same name.
    const list = await clients.run('nbdinfo', ['--list', uriOf('')])
    for (const id of [volume, snapshot, image]) t.match(list, `export="${id}"`)
    t.notMatch(list, `export="${name}`)
  })

  t.test(`${clients.name}: a name that is not unique, or is unknown, is refused with the reason`, async (t) => {
    const name = `twice, ${clients.name}`
    const ids = [await api.createVolume({ name }), await api.createVolume({ name })]
    const reason = new RegExp(`the name "${name}" is not unique: volume [0-9a-f-]+ .project [0-9a-f]+., volume `)
    for (const said of [
      await failure(clients.run('qemu-img', ['info', uriOf(name)])),
      // The tools of libnbd 1.14 repeat what the server says in their debug output only.
      await failure(clients.run('env', [`LIBNBD_DEBUG=${clients === newestClients ? 0 : 1}`, 'nbdinfo', uriOf(name)])),
    ]) {
      t.match(said, reason)
      for (const id of ids) t.match(said, id)
    }
    t.match(await failure(clients.run('qemu-img', ['info', uriOf('nobody')])), /ID or name "nobody"/)
  })
}

t.test('by the name of a volume the tenants’ listener finds nothing, and gives no reason', async (t) => {
  const name = 'ours'
  await api.createVolume({ name })
  for (const clients of generations) {
    const said = await failure(clients.run('qemu-img', ['info', `nbd://${server.nbdAddress}/${name}`]))
    t.match(said, /expected the export name that an attachment/)
    t.notMatch(said, /ID or name/)
  }
})

t.test('a connection by name counts for the ID, survives a rename, and ends when the volume is deleted', async (t) => {
  const volume = await api.createVolume({ name: 'short-lived' })
  let readingEnded = false
  const reading = t.rejects(nbdsh(uriOf('short-lived'), 'while True: h.pread(512, 0)')).finally(() => {
    readingEnded = true
  })
  await until(async () => (await connections(volume)) === 1)
  const { exports } = await server.status()
  t.notOk(exports.some(({ name }) => name === 'short-lived'))
  await api.expect(200, 'PUT', `/volume/v3/${api.projectId}/volumes/${volume}`, {
    body: Buffer.from(JSON.stringify({ volume: { name: 'renamed' } })),
    headers: { 'content-type': 'application/json' },
  })
  t.match(await failure(newestClients.run('nbdinfo', [uriOf('short-lived')])), /ID or name "short-lived"/)
  t.equal(await connections(volume), 1, 'the rename ended nothing')
  await newestClients.nbdsh(uriOf('renamed'), 'h.pread(512, 0)')
  // The server sees the end of the second client a moment after its process is gone.
  await until(async () => readingEnded || (await connections(volume)) === 1)
  t.notOk(readingEnded, 'the first client reads on')
  await api.delete('volumes', volume)
  await reading
  t.match(await failure(newestClients.run('nbdinfo', [uriOf('renamed')])), /ID or name "renamed"/)
})
