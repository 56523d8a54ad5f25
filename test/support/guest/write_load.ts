// write_load.ts: a guest writes files to an ext4, syncs each, and knows their checksums; later it tells whether all is there.

import type { Machine } from './machine.js'

const dir = '/mnt'
const filesMax = 40
const fileMiB = 2

/** Files of random bytes, each made durable by fsync before the next; the oldest are written anew after {@link filesMax}. */
export class WriteLoad {
  readonly #guest: Machine
  readonly #device: string

  private constructor(guest: Machine, device: string) {
    this.#guest = guest
    this.#device = device
  }

  /** Makes the file system. */
  static async start(guest: Machine, device: string): Promise<WriteLoad> {
    await guest.run(`mkfs.ext4 -q -F -E lazy_itable_init=0 ${device} && mount -t ext4 ${device} ${dir}`)
    // Sums lie in the guest's memory, and are written when fsync has answered: what they speak of must be on the disk.
    const loop =
      'n=0; while ! test -e /tmp/stop; do ' +
      `k=$((n % ${filesMax})); f=${dir}/f$k; rm -f /tmp/$k.sum; head -c ${fileMiB}m /dev/urandom >/tmp/bytes; ` +
      'dd if=/tmp/bytes of=$f bs=64k conv=fsync 2>>/tmp/errors || { echo failed >>/tmp/errors; break; }; ' +
      'echo "$(md5sum </tmp/bytes | cut -d" " -f1)  $f" >/tmp/$k.sum; n=$((n + 1)); echo $n >/tmp/n.new; mv /tmp/n.new /tmp/n; done; ' +
      'touch /tmp/stopped'
    await guest.run(`echo 0 >/tmp/n; (${loop}) >/dev/null 2>&1 &`)
    return new WriteLoad(guest, device)
  }

  /** Resolves when files were written since the call, with how many there are by now. Rejects when writing fails. */
  async progress(): Promise<number> {
    const waiting =
      'was=$(cat /tmp/n); while test $(cat /tmp/n) -lt $((was + 2)) -a ! -e /tmp/stopped; do sleep 0.1; done; '
    return Number(await this.#guest.run(`${waiting} test ! -e /tmp/stopped && cat /tmp/n`, 180_000))
  }

  /** Ends the load, unmounts, checks the file system and every file's bytes as they come from the disk. */
  async verify(): Promise<string> {
    await this.#guest.run('touch /tmp/stop; while ! test -e /tmp/stopped; do sleep 0.1; done; umount /mnt', 180_000)
    const fsck = await this.#guest.run(`e2fsck -fn ${this.#device}`, 120_000)
    await this.#guest.run(
      `mount -t ext4 -o ro ${this.#device} ${dir} && cat /tmp/*.sum | md5sum -c >/tmp/verdict`,
      120_000,
    )
    await this.#guest.run(`umount ${dir}`)
    return fsck.includes('FILE SYSTEM WAS MODIFIED') ? fsck : 'clean'
  }
}
