import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { ensureAdmin } from '../../../src/core/identity/admin.js'
import type { Core } from '../../../src/core/core.js'
import { DataDirectory } from '../../../src/core/directory/data_directory.js'
import { untilItSays } from '../../../testkit/process_output.js'
import { TestStore } from '../support.js'

const mode = (path: string) => statSync(path).mode & 0o777

t.test('it is made with everything above it, for its owner alone', async (t) => {
  const path = join(t.testdir(), 'a', 'b')
  const { directory, unlock } = DataDirectory.open(path)
  t.equal(mode(path), 0o700)
  t.equal(readFileSync(join(path, 'format'), 'utf8'), 'atoll data directory\nformat 1\n')
  for (const file of ['format', 'lock']) t.equal(mode(join(path, file)), 0o600, file)
  t.equal(directory.nbdSocket, join(path, 'nbd.sock'))
  unlock()
  DataDirectory.open(path, { create: false }).unlock()
})

t.test('an empty directory that is there is taken, and closed to others', async (t) => {
  const path = t.testdir()
  chmodSync(path, 0o755)
  DataDirectory.open(path).unlock()
  t.equal(mode(path), 0o700)
})

t.test('one at a time: the second is refused with the directory and the process in its words', async (t) => {
  const path = join(t.testdir(), 'data')
  const { unlock } = DataDirectory.open(path)
  const words = new RegExp(`${path} is in use by another Atoll \\(process ${process.pid}\\)`)
  t.throws(() => DataDirectory.open(path), { code: 'directory_in_use', message: words })
  t.throws(() => DataDirectory.open(path, { create: false }), { code: 'directory_in_use' })
  unlock()
  DataDirectory.open(path).unlock()
})

t.test('a lock goes with its process, however that ends', async (t) => {
  const path = join(t.testdir(), 'data')
  DataDirectory.open(path).unlock()
  const script = `
    const Database = require('better-sqlite3')
    const database = new Database(${JSON.stringify(join(path, 'lock'))})
    database.exec('begin immediate')
    console.log('held')
    setInterval(() => {}, 1000)`
  const holder = execa('node', ['-e', script], { reject: false })
  await untilItSays(holder, /held/)
  t.throws(() => DataDirectory.open(path), { code: 'directory_in_use' })
  holder.kill('SIGKILL')
  await holder
  DataDirectory.open(path).unlock()
})

t.test('an older Atoll, which locks by a transaction of SQLite, is kept out', async (t) => {
  const path = join(t.testdir(), 'data')
  const { unlock } = DataDirectory.open(path)
  const script = `
    const Database = require('better-sqlite3')
    const database = new Database(${JSON.stringify(join(path, 'lock'))}, { timeout: 0 })
    try {
      database.exec('begin immediate')
      console.log('taken')
    } catch (error) {
      console.log(error.code)
    }`
  t.equal((await execa('node', ['-e', script])).stdout, 'SQLITE_BUSY')
  unlock()
  t.equal((await execa('node', ['-e', script])).stdout, 'taken')
})

t.test("somebody else's directory is left alone", async (t) => {
  const path = t.testdir({ 'thesis.txt': 'precious' })
  chmodSync(path, 0o755)
  t.throws(() => DataDirectory.open(path), { code: 'directory_foreign', message: new RegExp(path) })
  t.equal(mode(path), 0o755)
  t.notOk(existsSync(join(path, 'lock')))
})

t.test('a newer format and one that is no format are refused', async (t) => {
  const path = t.testdir({ format: 'atoll data directory\nformat 7\n' })
  t.throws(() => DataDirectory.open(path), { code: 'format_too_new', message: /format 7.*up to 1/ })
  writeFileSync(join(path, 'format'), 'something else')
  t.throws(() => DataDirectory.open(path), { code: 'directory_unusable' })
})

t.test('what cannot be a directory is refused in words', async (t) => {
  const path = t.testdir({ file: '' })
  t.throws(() => DataDirectory.open(join(path, 'file')), { code: 'directory_unusable' })
  t.throws(() => DataDirectory.open(join(path, 'file', 'below')), { code: 'directory_unusable' })
  t.throws(() => DataDirectory.open(join(path, 'none'), { create: false }), { code: 'directory_missing' })
  t.notOk(existsSync(join(path, 'none')))
})

/** What a start does for its administrator; `true`: it was the first one. */
async function start(core: Core, openrc: string, authUrl = 'http://127.0.0.1:1/v3'): Promise<boolean> {
  const { isNew, publish } = await ensureAdmin(core, { openrc, authUrl })
  publish()
  return isNew
}

const variableIn = (path: string, name: string) =>
  new RegExp(`^export ${name}=(.*)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1]

const loginBy = (core: Core, openrc: string) =>
  core.sessions.loginByPassword({
    user: { name: 'admin' },
    password: String(variableIn(openrc, 'OS_PASSWORD')),
    scope: { project: { name: 'admin' } },
  })

t.test('the first start makes an admin whose password is only in a file of its owner', async (t) => {
  const { core, dataDir } = await TestStore.open(t)
  const openrc = new DataDirectory(dataDir).openrc
  t.equal(await start(core, openrc), true)
  t.equal(mode(openrc), 0o600)
  const text = readFileSync(openrc, 'utf8')
  const variables = Object.fromEntries(
    [...text.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  )
  t.match(variables, {
    OS_AUTH_URL: 'http://127.0.0.1:1/v3',
    OS_IDENTITY_API_VERSION: '3',
    OS_USERNAME: 'admin',
    OS_PROJECT_NAME: 'admin',
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_NAME: 'Default',
    OS_PASSWORD: /^[A-Za-z0-9_-]{43}$/,
  })
  const login = await loginBy(core, openrc)
  t.ok(login.session.caller.isAdmin)

  t.equal(await start(core, openrc, 'http://127.0.0.1:2/v3'), false)
  t.equal(readFileSync(openrc, 'utf8'), text.replace(':1/', ':2/'), 'the address follows, the password stays')
  t.equal(mode(openrc), 0o600)
})

t.test(
  'the file with the first password appears when the user can log in, and not before it is published',
  async (t) => {
    const { core, dataDir } = await TestStore.open(t)
    const { openrc } = new DataDirectory(dataDir)
    const admin = await ensureAdmin(core, { openrc, authUrl: 'http://127.0.0.1:1/v3' })
    t.notOk(existsSync(openrc))
    admin.publish()
    t.ok((await loginBy(core, openrc)).session.caller.isAdmin)
    t.same(readdirSync(join(dataDir, 'openrc')), ['admin.sh'])
  },
)

t.test('a first start that ended anywhere between the password and its file is made up for', async (t) => {
  t.test('before the user was made', async (t) => {
    const { core, dataDir } = await TestStore.open(t)
    const { openrc } = new DataDirectory(dataDir)
    mkdirSync(join(dataDir, 'openrc'))
    for (const path of [openrc, `${openrc}.pending`]) writeFileSync(path, 'export OS_PASSWORD=nobody-has-it\n')
    t.equal(await start(core, openrc), true)
    t.ok((await loginBy(core, openrc)).session.caller.isAdmin)
  })
  t.test('before the file was published', async (t) => {
    const { core, dataDir } = await TestStore.open(t)
    const { openrc } = new DataDirectory(dataDir)
    await ensureAdmin(core, { openrc, authUrl: 'http://127.0.0.1:1/v3' })
    t.equal(await start(core, openrc, 'http://127.0.0.1:2/v3'), false)
    t.ok((await loginBy(core, openrc)).session.caller.isAdmin)
    t.equal(variableIn(openrc, 'OS_AUTH_URL'), 'http://127.0.0.1:2/v3')
    t.equal(mode(openrc), 0o600)
  })
  t.test('a pending password that nobody has is not published', async (t) => {
    const { core, dataDir } = await TestStore.open(t)
    const { openrc } = new DataDirectory(dataDir)
    const user = { name: 'admin', password: 'by atoll user create' }
    await core.identity.createMember({ user, project: 'admin', role: 'admin' })
    mkdirSync(join(dataDir, 'openrc'))
    writeFileSync(`${openrc}.pending`, 'export OS_PASSWORD=nobody-has-it\n')
    t.equal(await start(core, openrc), false)
    t.same(readdirSync(join(dataDir, 'openrc')), [])
  })
})

t.test('a shell that sources the file runs nothing of the URL, and gets it as it is', async (t) => {
  const { core, dataDir } = await TestStore.open(t)
  const { openrc } = new DataDirectory(dataDir)
  const mark = join(t.testdir(), 'mark')
  const urls = [
    `http://x/$(touch ${mark})`,
    `http://x/'; touch ${mark}; '`,
    `http://x/\`touch ${mark}\`$&$1`,
    'http://[::1]/v3',
  ]
  for (const url of ['http://127.0.0.1:1/v3', ...urls, ...urls]) {
    await start(core, openrc, url)
    const script = '. "$0" && printf "%s|%s" "$OS_AUTH_URL" "$OS_USERNAME"'
    t.equal(execFileSync('sh', ['-c', script, openrc], { encoding: 'utf8' }), `${url}|admin`)
    t.notOk(existsSync(mark))
  }
})
