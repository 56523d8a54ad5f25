// write_load.ts: a guest writes files to an ext4, syncs each, and knows their checksums; later it tells whether all is there.

import type { Machine } from './machine.js'

const filesMax = 40
const fileMiB = 2

/** Files of random bytes, each made durable by fsync before the next; the oldest are written anew after {@link filesMax}. */
export class WriteLoad {
  readonly #guest: Machine
  readonly #device: string
  /** Where it is mounted. */
  readonly #dir: string
  /** What the load says of itself, in the guest's memory. */
  readonly #notes: string

  private constructor(guest: Machine, device: string) {
    this.#guest = guest
    this.#device = device
    const name = device.replaceAll('/', '-')
    this.#dir = `/mnt/${name}`
    this.#notes = `/tmp/${name}`
  }

  /** Makes the file system. */
  static async start(guest: Machine, device: string): Promise<WriteLoad> {
    const load = new WriteLoad(guest, device)
    const [dir, notes] = [load.#dir, load.#notes]
    await guest.run(`mkdir -p ${dir} ${notes} && mkfs.ext4 -q -F -E lazy_itable_init=0 ${device}`)
    await guest.run(`mount -t ext4 ${device} ${dir}`)
    const steps = [
      `k=$((n % ${filesMax})); f=${dir}/f$k; rm -f ${notes}/$k.sum`,
      `head -c ${fileMiB}m /dev/urandom >${notes}/bytes`,
      `dd if=${notes}/bytes of=$f bs=64k conv=fsync 2>>${notes}/errors || break`,
      // Only now: what a sum speaks of must be on the disk.
      `echo "$(md5sum <${notes}/bytes | cut -d" " -f1)  $f" >${notes}/$k.sum`,
      `n=$((n + 1)); echo $n >${notes}/n.new; mv ${notes}/n.new ${notes}/n`,
    ]
    const loop = `n=0; while ! test -e ${notes}/stop; do ${steps.join('; ')}; done; touch ${notes}/stopped`
    await guest.run(`echo 0 >${notes}/n; (${loop}) >/dev/null 2>&1 &`)
    return load
  }

  /** Resolves when two files were written since the call, with how many there are by now. Rejects when writing has failed. */
  async progress(): Promise<number> {
    const n = `$(cat ${this.#notes}/n)`
    const stopped = `-e ${this.#notes}/stopped`
    const wait = `was=${n}; while test ${n} -lt $((was + 2)) && test ! ${stopped}; do sleep 0.1; done`
    return Number(await this.#guest.run(`${wait}; test ! ${stopped} && cat ${this.#notes}/n`, 180_000))
  }

  /** Ends the load, checks the file system, and every file's bytes as they come from the disk. Rejects when something is wrong. */
  async verify(): Promise<void> {
    const [dir, notes, device] = [this.#dir, this.#notes, this.#device]
    const run = (command: string) => this.#guest.run(command, 180_000)
    await run(`touch ${notes}/stop; while ! test -e ${notes}/stopped; do sleep 0.1; done; umount ${dir}`)
    await run(`e2fsck -fn ${device}`)
    const sums = `cat ${notes}/*.sum | md5sum -c >${notes}/verdict || { grep -v OK$ ${notes}/verdict; exit 1; }`
    await run(`mount -t ext4 -o ro ${device} ${dir} && { ${sums}; } && umount ${dir}`)
    await run(`test $(cat ${notes}/*.sum | wc -l) -gt 4`)
  }
}
