/** `atoll serve` as an operator would run it, with the calls of its APIs that stages need. */

import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Api } from '../../testkit/api.js'
import { type Daemon, socketPath, startDaemon } from './daemon.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface AtollServer {
  api: Api
  url: string
  dataDir: string
  pid: number
  /** By the operator's door. */
  uri(volumeId: string): string
  stop(): Promise<void>
}

export async function startAtoll(dir: string, more: string[] = []): Promise<AtollServer> {
  await mkdir(dir, { recursive: true })
  const socket = socketPath()
  const dataDir = join(dir, 'data')
  const doors = ['--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0', '--nbd', `unix:${socket}`]
  const args = [program, 'serve', '--data', dataDir, ...doors, '--log', 'json', ...more]
  const logPath = join(dir, 'log')
  const ready = async (daemon: Daemon) => servingLine(daemon) !== undefined
  const daemon = await startDaemon({ program: process.execPath, args, logPath, ready })
  const url = `http://${servingLine(daemon)?.http}`
  const environment = { ...readOpenrc(join(dataDir, 'openrc', 'admin.sh')), OS_AUTH_URL: `${url}/v3` }
  return {
    api: await Api.login(environment),
    url,
    dataDir,
    pid: daemon.pid,
    uri: (volumeId) => `nbd+unix:///${volumeId}?socket=${socket}`,
    stop: daemon.stop,
  }
}

function servingLine(daemon: Daemon): { http: string } | undefined {
  const line = daemon
    .log()
    .split('\n')
    .find((each) => each.includes('"msg":"serving"'))
  return line === undefined ? undefined : (JSON.parse(line) as { http: string })
}

function readOpenrc(path: string): Record<string, string> {
  const lines = readFileSync(path, 'utf8').matchAll(/^export (OS_[A-Z_]+)=(?:'([^']*)'|"([^"]*)"|(\S*))$/gm)
  return Object.fromEntries(
    [...lines].map(([, name, ...values]) => [name, values.find((value) => value !== undefined) ?? '']),
  )
}
