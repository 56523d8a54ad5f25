// A volume that a running guest uses grows: extend, `atoll reconnect`, QMP's `block_resize`, and the guest has the larger disk,
// without an I/O error. With both generations of QEMU, over TCP and over the operator's socket.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { askToReconnect } from '../../src/server/control_client.js'
import { GiB, MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { bootNbdGuest } from '../../testkit/guest/nbd_guest.js'
import { qmp } from '../../testkit/guest/qmp.js'
import { WriteLoad } from '../../testkit/guest/write_load.js'
import { generations } from '../../testkit/nbd_tools.js'
import { atoll, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(900_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

/** Ends the volume's connections as `atoll reconnect` does, without the start of a process; returns how many there were. */
async function reconnect(t: Test, volume: string): Promise<number> {
  const answer = await askToReconnect(join(server.dataDir, 'control.sock'), volume)
  t.match(answer, { remaining: 0 })
  return answer?.ended ?? 0
}

/** QEMU's arguments as docs/guide/attach.md has them, in the section "QEMU and libvirt". */
function disk(node: string, where: string): string[] {
  const options = 'reconnect-delay=60,discard=unmap,detect-zeroes=unmap'
  return [
    '-blockdev',
    `driver=nbd,node-name=${node},${where},${options}`,
    '-device',
    `virtio-blk-pci,drive=${node},discard=on`,
  ]
}

for (const [index, clients] of generations.entries()) {
  t.test(
    `${clients.name}: qemu-img keeps 64 writes in flight while its connection is ended, and none fails`,
    async (t) => {
      const volume = await api.createVolume({})
      const image = `driver=nbd,server.type=unix,server.path=${server.nbdSocket},export=${volume},reconnect-delay=60`
      const bench = ['bench', '-w', '--image-opts', image, '-c', '150000', '-d', '64', '-s', '4096']
      let running = true
      const written = clients.run('qemu-img', [...bench, '--flush-interval=1000', '--no-drain'])
      const writing = t.resolveMatch(written, /Run completed/).finally(() => {
        running = false
      })
      let ended = 0
      try {
        while (running && ended < 50) ended += await reconnect(t, volume)
      } finally {
        await writing
      }
      t.ok(ended >= 5, `its connection was ended ${ended} times`)
    },
  )

  t.test(
    `${clients.name}: a guest under load sees its disks grow, over both listeners, and no request fails`,
    async (t) => {
      const attached = await api.createVolume({})
      const { id, uri } = await api.attach(attached)
      await api.complete(id)
      const { hostname, port, pathname } = new URL(uri)
      const direct = await api.createVolume({})
      const qmpSocket = join(server.scratchDir, `qmp-${index}`)
      const disks = [
        ...disk('first', `server.type=inet,server.host=${hostname},server.port=${port},export=${pathname.slice(1)}`),
        ...disk('second', `server.type=unix,server.path=${server.nbdSocket},export=${direct}`),
      ]
      const guest = await bootNbdGuest({ clients, arguments: disks, qmpSocket })
      try {
        const loads = [await WriteLoad.start(guest, '/dev/vda'), await WriteLoad.start(guest, '/dev/vdb')]
        const progress = async () => {
          for (const load of loads) await load.progress()
        }
        const grows = async (volume: string, node: string, device: string, sizeGib: number) => {
          const resize = () => qmp(qmpSocket, 'block_resize', { 'node-name': node, size: sizeGib * GiB })
          await api.extend(volume, sizeGib)
          await t.rejects(resize(), /grow/i, 'QEMU does not know the new size yet')
          t.match(await atoll('reconnect', volume, '--data', server.dataDir), { stdout: /: 1 NBD connection ended$/ })
          await progress() // over the next connection
          await resize()
          const size = `$(blockdev --getsize64 ${device})`
          await guest.run(`until test ${size} = ${sizeGib * GiB}; do sleep 0.1; done`)
          t.equal((await guest.run(`echo ${size}`)).trim(), String(sizeGib * GiB), `${device} has grown in the guest`)
          const end = `bs=1M count=1 seek=${(sizeGib * GiB) / MiB - 1}`
          await guest.run(
            `dd if=/dev/urandom of=/tmp/end bs=1M count=1 && dd if=/tmp/end of=${device} ${end} oflag=direct`,
          )
          await guest.run(`dd if=${device} ${end.replace('seek', 'skip')} iflag=direct | cmp - /tmp/end`)
        }
        for (const sizeGib of [2, 3]) {
          await progress()
          await grows(attached, 'first', '/dev/vda', sizeGib)
          await grows(direct, 'second', '/dev/vdb', sizeGib)
        }
        for (const load of loads) await load.verify()
        t.notMatch(guest.console, /I\/O error|EXT4-fs error/i)
        await guest.powerOff()
      } finally {
        await guest.kill()
      }
    },
  )
}
