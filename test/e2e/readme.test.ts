// What docs/guide/first-session.md and docs/guide/attach.md tell people to type is typed here, by bash, in the order of the page.

import { access, mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { GiB } from '../../src/lib/units.js'
import { qmp } from '../../testkit/guest/qmp.js'
import { generations, newestTree, tool } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(600_000)

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The code blocks of a section, without those of its subsections. */
async function blocks(page: string, heading: string, language: string): Promise<string[]> {
  const text = await readFile(join(root, page), 'utf8')
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const found = [...section.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, code]) => code ?? '',
  )
  if (found.length === 0) throw new Error(`no ${language} blocks below "${heading}" in ${page}`)
  return found
}

/** Sends a signal to a process, or to a process group (-ID). Returns false when there is none. */
function signal(id: number, name: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    return process.kill(id, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Resolves when a process that is not our child has ended; its new parent may not have collected its status. */
async function untilEnded(pid: number): Promise<void> {
  const running = () =>
    readFile(`/proc/${pid}/status`, 'utf8').then(
      (status) => !/^State:\s+[ZX]/m.test(status),
      (error) => {
        // ESRCH: it ended between open() and read().
        if (['ENOENT', 'ESRCH'].includes(error.code)) return false
        throw error
      },
    )
  while (await running()) await sleep(10)
}

for (const clients of generations) {
  t.test(`the guide's first session works as printed, with QEMU of ${clients.name}`, async (t) => {
    const server = await startServerProcess(t)
    // Short enough for the path of a socket.
    const cwd = join(server.scratchDir, 'session')
    await mkdir(cwd)
    // As in a checkout in which a server with the usual addresses runs.
    await symlink(server.dataDir, join(cwd, 'data'))
    await symlink(join(root, 'scripts'), join(cwd, 'scripts'))
    await symlink(server.nbdSocket, join(server.dataDir, 'nbd.sock'))
    const session = await blocks('docs/guide/first-session.md', 'The session', 'sh')
    const [host = '', port = ''] = server.nbdAddress.split(':')
    const typed = session
      .join('\n')
      .replaceAll('127.0.0.1:10809', server.nbdAddress)
      .replaceAll('server.host=127.0.0.1,server.port=10809', `server.host=${host},server.port=${port}`)
    t.notMatch(typed, '10809')
    const [qemu, prefix] = clients.command('qemu-system-x86_64')
    const script = [
      // QEMU stays, and would keep a pipe open.
      'exec >said 2>&1',
      'set -euxo pipefail',
      `npx() { (cd ${root} && ATOLL_DATA=${server.dataDir} command npx "$@"); }`,
      // The machine stands still, and goes away with the test.
      `qemu-system-x86_64() { command ${[qemu, ...prefix].join(' ')} "$@" -S -display none -pidfile "$PWD/qemu.pid"; }`,
      // People see when QEMU is there, before they go on: it greets once its disks are connected.
      'greets() { [[ $(timeout 1 socat -u UNIX-CONNECT:qmp.sock - 2>/dev/null) == *QMP* ]]; }',
      'cinder() { [[ $1 != attachment-complete ]] || until greets; do sleep 0.1; done; command cinder "$@"; }',
      typed,
      'printf "volume=%s snapshot=%s\\n" "$volume" "$snapshot"',
    ].join('\n')
    // In a process group of its own, because the timeout ends bash alone and not what bash has started.
    const bash = execa('bash', ['-c', script], {
      cwd,
      detached: true,
      reject: false,
      stdio: 'ignore',
      timeout: 300_000,
    })
    try {
      const { exitCode } = await bash
      const said = await readFile(join(cwd, 'said'), 'utf8')
      t.equal(exitCode, 0, said)
      const { volume } = said.match(/volume=(?<volume>\S+)/)?.groups ?? {}
      t.match(said, /1 NBD connection ended/)
      for (const made of ['copy.raw', 'restored.raw']) await access(join(cwd, made))

      // The machine's disk is what the text says it is, and grows as docs/guide/attach.md says.
      const monitor = join(cwd, 'qmp.sock')
      const device = async () => (await qmp(monitor, 'query-block')) as { inserted?: Record<string, unknown> }[]
      const first = async () => (await device()).find(({ inserted }) => inserted?.['node-name'] === 'first')?.inserted
      t.match(await first(), { drv: 'nbd', detect_zeroes: 'unmap', ro: false, image: { 'virtual-size': GiB } })
      const steps = (await blocks('docs/guide/attach.md', 'Sizes', 'json')).join('').trim().split('\n')
      for (const step of steps) {
        const { execute, arguments: given } = JSON.parse(step) as {
          execute: string
          arguments: Record<string, unknown>
        }
        await qmp(monitor, execute, given)
      }
      t.match(await first(), { image: { 'virtual-size': 2 * GiB } })
      t.match(
        (await server.status()).exports.filter(({ name }) => name.startsWith(`${volume}/`)),
        [{ connections: 1 }],
      )
    } finally {
      if (bash.pid !== undefined) signal(-bash.pid, 'SIGKILL')
      // A QEMU that has left the process group is known by its file.
      const pid = Number(await readFile(join(cwd, 'qemu.pid'), 'utf8').catch(() => ''))
      if (pid > 0 && signal(pid, 'SIGTERM')) await untilEnded(pid)
    }
  })
}

t.test("docs/guide/attach.md's disk element is valid by the schema of Debian 13's libvirt", async (t) => {
  const [element = ''] = await blocks('docs/guide/attach.md', 'QEMU and libvirt', 'xml')
  const domain = (disk: string) =>
    `<domain type='qemu'><name>machine</name><memory unit='MiB'>512</memory><os><type>hvm</type></os>` +
    `<devices>${disk}</devices></domain>`
  const dir = t.testdir({
    'right.xml': domain(element),
    'wrong.xml': domain(element.replace("delay='60'", "delay='soon'")),
  })
  const schema = join(await newestTree(), 'usr/share/libvirt/schemas/domain.rng')
  await tool('xmllint', ['--noout', '--relaxng', schema, join(dir, 'right.xml')])
  await t.rejects(tool('xmllint', ['--noout', '--relaxng', schema, join(dir, 'wrong.xml')]), /fails to validate/)
})
