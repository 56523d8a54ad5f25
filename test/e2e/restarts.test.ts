// Machines whose disk's server goes away and comes back, in order and by kill -9, while they write: QEMU's NBD client with
// `reconnect-delay`.

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Api } from '../support/api.js'
import { bootNbdGuest } from '../support/guest/nbd_guest.js'
import { WriteLoad } from '../support/guest/write_load.js'
import { tool } from '../support/nbd_tools.js'
import { startServerProcess } from '../support/server_process.js'

t.setTimeout(600_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

const endings = [
  ['in order', () => server.stop()],
  ['by kill -9', () => server.kill()],
] as const

t.test(
  'qemu-img with reconnect-delay keeps 64 writes in flight through restarts and kills, and none fails',
  async (t) => {
    const volume = await api.createVolume({})
    const image = `driver=nbd,server.type=unix,server.path=${server.nbdSocket},export=${volume},reconnect-delay=120`
    const bench = ['bench', '-w', '--image-opts', image, '-c', '100000', '-d', '64', '-s', '4096']
    let running = true
    const writing = tool('qemu-img', [...bench, '--flush-interval=1000', '--no-drain']).finally(() => {
      running = false
    })
    let ends = 0
    while (running && ends < 6) {
      await sleep(100 + Math.random() * 200)
      await endings[ends++ % 2]?.[1]()
      await server.start()
    }
    t.match(await writing, /Run completed/)
    t.ok(ends >= 2, `it was interrupted ${ends} times`)
  },
)

t.test('QEMU with reconnect-delay: a guest writes on over restarts and kills, without an I/O error', async (t) => {
  const { uri } = await api.attach(await api.createVolume({}))
  const guest = await bootNbdGuest({ disks: [uri], network: false, reconnectSeconds: 120 })
  try {
    const load = await WriteLoad.start(guest, '/dev/vda')
    for (const [how, end] of [...endings, ...endings]) {
      await load.progress()
      await sleep(Math.random() * 300) // into other work each time
      await end()
      await server.start()
      t.pass(`ended ${how} and started again after ${await load.progress()} files`)
    }
    t.match(await load.verify(), /clean/)
    t.notMatch(guest.console, /I\/O error|EXT4-fs error|Buffer I\/O/i)
    await guest.powerOff()
  } finally {
    await guest.kill()
  }
})
