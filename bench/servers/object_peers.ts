/** nginx (static files, WebDAV) and OpenStack Swift (one replica, without authentication), each for this run alone on loopback. */

import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { answers, freePort } from '../../testkit/ports.js'
import type { ObjectStore } from '../load/http_load.js'
import { type Daemon, startDaemon } from './daemon.js'

export interface ObjectServer extends ObjectStore {
  pid: number
  stop(): Promise<void>
}

const host = '127.0.0.1'

/** Neither checksums nor syncs: the upper limit. */
export async function startNginx(dir: string): Promise<ObjectServer> {
  const port = await freePort()
  const [root, temporary] = [join(dir, 'root'), join(dir, 'temporary')]
  await mkdir(root, { recursive: true })
  await mkdir(temporary)
  const config = join(dir, 'nginx.conf')
  await writeFile(
    config,
    `daemon off; worker_processes auto; pid ${dir}/pid; error_log ${dir}/error.log;
     ${process.getuid?.() === 0 ? 'user root;' : ''}
     events { worker_connections 1024; }
     http {
       access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000;
       client_body_temp_path ${temporary}; client_max_body_size 0;
       server { listen ${host}:${port}; root ${root}; location / { dav_methods PUT DELETE; create_full_put_path on; } }
     }\n`,
  )
  const args = ['-p', dir, '-e', join(dir, 'error.log'), '-c', config]
  const ready = () => answers({ host, port })
  const { pid, stop } = await startDaemon({ program: 'nginx', args, logPath: join(dir, 'log'), ready })
  return { url: `http://${host}:${port}/bench/`, headers: {}, pid, stop }
}

/** Its packages are not part of what scripts/bench installs: undefined when they are not there. */
export async function startSwift(dir: string): Promise<ObjectServer | undefined> {
  if (!existsSync('/usr/bin/swift-proxy-server')) return undefined
  await mkdir(join(dir, 'devices', 'd1'), { recursive: true })
  const daemons: Daemon[] = []
  const stop = async () => {
    for (const daemon of daemons) await daemon.stop()
  }
  try {
    const kinds = ['account', 'container', 'object'] as const
    const ports = new Map<string, number>()
    for (const kind of kinds) {
      const port = await freePort()
      ports.set(kind, port)
      const builder = join(dir, `${kind}.builder`)
      for (const words of [['create', '10', '1', '1'], ['add', `r1z1-${host}:${port}/d1`, '1'], ['rebalance']])
        await execa('swift-ring-builder', [builder, ...words], { cwd: dir })
    }
    for (const kind of kinds)
      daemons.push(await swiftProcess(dir, kind, ports.get(kind) ?? 0, `devices = ${dir}/devices\nmount_check = false`))
    const port = await freePort()
    daemons.push(await swiftProcess(dir, 'proxy', port, ''))
    const url = `http://${host}:${port}/v1/AUTH_bench/bench/`
    const made = await fetch(url.slice(0, -1), { method: 'PUT' })
    if (!made.ok) throw new Error(`Swift made no container: ${made.status} ${await made.text()}`)
    // Its processes have no common parent but this one.
    return { url, headers: {}, pid: daemons[0]?.pid ?? 0, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function swiftProcess(dir: string, kind: string, port: number, more: string): Promise<Daemon> {
  const config = join(dir, `${kind}-server.conf`)
  const app =
    kind === 'proxy'
      ? '[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n'
      : `[app:${kind}-server]\nuse = egg:swift#${kind}\n`
  const pipeline = kind === 'proxy' ? 'catch_errors gatekeeper proxy-server' : `${kind}-server`
  const filters =
    kind === 'proxy'
      ? '[filter:catch_errors]\nuse = egg:swift#catch_errors\n[filter:gatekeeper]\nuse = egg:swift#gatekeeper\n'
      : ''
  await writeFile(
    config,
    `[DEFAULT]\nbind_ip = ${host}\nbind_port = ${port}\nworkers = 2\nuser = ${userInfo().username}\nswift_dir = ${dir}\nlog_address = ${dir}/no-log\n${more}\n` +
      `[pipeline:main]\npipeline = ${pipeline}\n${app}${filters}`,
  )
  return startDaemon({
    program: `swift-${kind}-server`,
    args: [config],
    logPath: join(dir, `${kind}.log`),
    ready: () => answers({ host, port }),
  })
}
