// serial_shell.ts: a guest's serial line as a shell: one command a line goes in, its output and its status come back.
//
// The guest's half (`serialShell`) is the last thing that a guest's init runs. It is a loop and not an interactive
// shell, because that would print prompts and edit lines.

import type { Readable, Writable } from 'node:stream'

const ready = 'atoll-guest: ready'
const status = 'atoll-guest: status'

/** Shell lines; they never end. The console must be ttyS0. */
export const serialShell = [
  'exec </dev/ttyS0 >/dev/ttyS0 2>&1',
  'stty -echo -onlcr',
  `echo; echo '${ready}'`,
  `while IFS= read -r line; do (eval "$line") </dev/null 2>&1; r=$?; echo; echo "${status} $r"; done`,
  'poweroff -f',
].join('\n')

/** The host's half. */
export class SerialShell {
  /** All that the guest has said, the kernel's messages among it. */
  console = ''
  #input: Writable
  #changed = () => {}
  #ended = false

  constructor(output: Readable, input: Writable) {
    this.#input = input
    input.on('error', () => {}) // the guest is gone: its output ends too, and that is what is reported
    output.setEncoding('utf8')
    output.on('data', (text: string) => {
      this.console += text.replaceAll('\r', '')
      this.#changed()
    })
    output.on('close', () => {
      this.#ended = true
      this.#changed()
    })
  }

  /** Resolves when the guest takes commands. */
  async ready(limitMs: number): Promise<void> {
    await this.#find(`\n${ready}\n`, 0, limitMs)
  }

  /** Runs one line of shell; answers what it printed. Rejects when its status is not 0. */
  async run(command: string, limitMs = 60_000): Promise<string> {
    if (command.includes('\n')) throw new Error('a command for the guest is one line')
    const from = this.console.length
    this.#input.write(`${command}\n`)
    const end = await this.#find(`\n${status} `, from, limitMs)
    await this.#find('\n', end + 1, limitMs)
    const output = this.console.slice(from, end).replace(/\n$/, '')
    const code = Number.parseInt(this.console.slice(end + `\n${status} `.length), 10)
    if (code !== 0) throw new Error(`in the guest: ${command}: status ${code}\n${output}`)
    return output
  }

  /** The place of `text` in the console's text, as soon as it is there. */
  async #find(text: string, from: number, limitMs: number): Promise<number> {
    const deadline = Date.now() + limitMs
    for (;;) {
      const place = this.console.indexOf(text, from)
      if (place >= 0) return place
      if (this.#ended) throw new Error(`the guest ended before it said '${text.trim()}':\n${this.#tail()}`)
      if (Date.now() >= deadline)
        throw new Error(`the guest did not say '${text.trim()}' within ${limitMs / 1000} s:\n${this.#tail()}`)
      await this.#change(deadline - Date.now())
    }
  }

  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(limitMs, 1))
      this.#changed = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #tail(): string {
    return this.console.slice(-4000)
  }
}
