// machine.ts: a QEMU guest: boots from its first disk or from a kernel, and obeys through its serial line.

import { execa } from 'execa'
import { hostClients, type NbdClients } from '../nbd_tools.js'
import { accelerator } from './accelerator.js'
import { SerialShell } from './serial_shell.js'

export interface MachineOptions {
  /** Whose QEMU runs the guest. Default: this machine's. */
  clients?: NbdClients
  /** NBD URIs or paths of raw files; /dev/vda, /dev/vdb, … in this order. Without `kernel` the BIOS boots the first. */
  disks: string[]
  kernel?: { image: string; initramfs: string }
  /** More arguments of QEMU. */
  arguments?: string[]
  /** A user-mode network; the host's 127.0.0.1 is 10.0.2.2 in it. */
  network?: boolean
  /** How long QEMU's NBD client holds requests back while it has lost its server. Default: not at all. */
  reconnectSeconds?: number
  /** Where QEMU listens for its monitor protocol (QMP). Default: nowhere. */
  qmpSocket?: string
  memoryMiB?: number
  bootLimitMs?: number
}

export class Machine {
  readonly #process: Qemu
  readonly #shell: SerialShell

  private constructor(process: Qemu, shell: SerialShell) {
    this.#process = process
    this.#shell = shell
  }

  /** Resolves when the guest's init takes commands. */
  static async boot(options: MachineOptions): Promise<Machine> {
    const { clients = hostClients } = options
    const qemu = startQemu(...clients.command('qemu-system-x86_64', await qemuArguments(options)))
    const machine = new Machine(qemu, new SerialShell(qemu.stdout, qemu.stdin))
    try {
      await machine.#shell.ready(options.bootLimitMs ?? 180_000)
    } catch (error) {
      const { stderr } = await machine.kill()
      throw new Error(`${(error as Error).message}\n${stderr}`)
    }
    return machine
  }

  get console(): string {
    return this.#shell.console
  }

  /** Runs one line of shell as root in the guest; answers its output, rejects when it fails. */
  run(command: string, limitMs?: number): Promise<string> {
    return this.#shell.run(command, limitMs)
  }

  /** The guest stands still until {@link resume}; its connections stay open. */
  pause(): void {
    this.#process.kill('SIGSTOP')
  }

  resume(): void {
    this.#process.kill('SIGCONT')
  }

  /** The guest syncs and turns itself off. */
  async powerOff(limitMs = 60_000): Promise<void> {
    // The answer to this command never comes: the machine ends.
    this.#shell.run('sync; poweroff -f', limitMs).catch(() => {})
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), limitMs)
    const { exitCode, stderr } = await this.#process
    clearTimeout(timer)
    if (exitCode !== 0) throw new Error(`the guest did not turn itself off: ${stderr}\n${this.console.slice(-2000)}`)
  }

  /** Pulls the plug. Also right when the guest has ended. */
  async kill(): Promise<{ stderr: string }> {
    this.#process.kill('SIGKILL')
    const { stderr } = await this.#process
    return { stderr: String(stderr) }
  }
}

type Qemu = ReturnType<typeof startQemu>

function startQemu(program: string, args: string[]) {
  // The console's text is kept by the serial shell and not by execa.
  return execa(program, args, { stdin: 'pipe', buffer: { stdout: false }, reject: false })
}

async function qemuArguments({
  disks,
  kernel,
  network,
  reconnectSeconds,
  qmpSocket,
  memoryMiB = 512,
  arguments: more = [],
}: MachineOptions): Promise<string[]> {
  const args = [...(await accelerator()), '-M', 'q35,hpet=off', '-m', String(memoryMiB), '-smp', '2']
  args.push('-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-vga', 'none')
  args.push('-chardev', 'stdio,id=serial,signal=off', '-serial', 'chardev:serial')
  args.push('-device', 'virtio-rng-pci')
  for (const [index, disk] of disks.entries()) {
    // QEMU takes a comma for the end of an option's value unless it is doubled.
    const file = disk.replaceAll(',', ',,')
    const reconnect = reconnectSeconds === undefined ? '' : `,file.reconnect-delay=${reconnectSeconds}`
    args.push('-drive', `if=none,id=disk${index},format=raw,discard=unmap,detect-zeroes=off,file=${file}${reconnect}`)
    const boot = kernel ? '' : `,bootindex=${index}`
    args.push('-device', `virtio-blk-pci,drive=disk${index}${boot}`)
  }
  args.push(...more)
  if (qmpSocket) args.push('-qmp', `unix:${qmpSocket},server=on,wait=off`)
  if (network) args.push('-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile=')
  if (kernel)
    args.push(
      '-kernel',
      kernel.image,
      '-initrd',
      kernel.initramfs,
      '-append',
      'console=ttyS0 quiet panic=-1 tsc=reliable',
    )
  return args
}
