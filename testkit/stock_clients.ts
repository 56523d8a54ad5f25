// stock_clients.ts: OpenStack's own command line clients, as the distribution ships them.
//
// Their tables are read, not their JSON: not all of them have any.

import { execa } from 'execa'

export type Environment = Record<string, string>

export class StockClients {
  readonly #environment: Environment
  readonly #say: (line: string) => void

  /** `environment`: OS_* variables as in openrc/admin.sh. `say` hears of every command that runs. */
  constructor(environment: Environment, say: (line: string) => void) {
    this.#environment = environment
    this.#say = say
  }

  swift(...args: string[]): Promise<string> {
    return this.#run('swift', args)
  }

  openstack(...args: string[]): Promise<string> {
    return this.#run('openstack', args)
  }

  glance(...args: string[]): Promise<string> {
    return this.#run('glance', args)
  }

  /** Microversion 3.54: attachments with modes. */
  cinder(...args: string[]): Promise<string> {
    return this.#run('cinder', ['--os-volume-api-version', '3.54', ...args])
  }

  /** Tells what the client said when it fails. */
  async #run(program: string, args: string[]): Promise<string> {
    this.#say(`${program} ${args.join(' ')}`)
    // With a standard input that is no terminal, `glance image-create` uploads it: it must not have any.
    const closed = ['-c', 'exec "$@" <&-', 'sh', program, ...args]
    const { exitCode, all } = await execa('sh', closed, {
      // What the tests' own environment says of some cloud does not count.
      env: { ...withoutCloud(process.env), ...this.#environment },
      extendEnv: false,
      all: true,
      reject: false,
      timeout: 120_000,
    })
    if (exitCode !== 0) throw new Error(`${program} ${args.join(' ')}: exit status ${exitCode}\n${all}`)
    return all
  }
}

/** The value in the row `| name | value |` of a client's table. */
export function field(table: string, name: string): string {
  for (const line of table.split('\n')) {
    const [, key, value] = line.split('|').map((cell) => cell.trim())
    if (key === name && value !== undefined) return value
  }
  throw new Error(`no row '${name}' in:\n${table}`)
}

function withoutCloud(environment: NodeJS.ProcessEnv): Environment {
  const kept = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return Object.fromEntries(kept.filter(([name]) => !name.startsWith('OS_')))
}
