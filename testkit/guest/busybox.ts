import { existsSync } from 'node:fs'
import { execa } from 'execa'

/** A busybox that needs no shared libraries. */
export async function busyboxPath(): Promise<string> {
  for (const path of ['/usr/bin/busybox', '/bin/busybox']) {
    if (!existsSync(path)) continue
    const { exitCode } = await execa('ldd', [path], { reject: false })
    if (exitCode !== 0) return path
  }
  throw new Error('no static busybox: apt-get install busybox-static')
}
