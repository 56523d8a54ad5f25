import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { ensureAdmin } from '../../src/core/admin.js'
import { DataDirectory } from '../../src/core/data_directory.js'
import { untilItSays } from '../support/process_output.js'
import { TestStore } from './support.js'

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

t.test('the first start makes an admin whose password is only in a file of its owner', async (t) => {
  const { core, dataDir } = await TestStore.open(t)
  const openrc = new DataDirectory(dataDir).openrc
  t.equal(await ensureAdmin(core.identity, { openrc, authUrl: 'http://127.0.0.1:1/v3' }), true)
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
  const login = await core.sessions.loginByPassword({
    user: { name: 'admin' },
    password: String(variables.OS_PASSWORD),
    scope: { project: { name: 'admin' } },
  })
  t.ok(login.session.caller.isAdmin)

  t.equal(await ensureAdmin(core.identity, { openrc, authUrl: 'http://127.0.0.1:2/v3' }), false)
  t.equal(readFileSync(openrc, 'utf8'), text.replace(':1/', ':2/'), 'the address follows, the password stays')
  t.equal(mode(openrc), 0o600)
})

t.test('a first start that ended between the file and the user is made up for', async (t) => {
  const { core, dataDir } = await TestStore.open(t)
  const { openrc } = new DataDirectory(dataDir)
  mkdirSync(join(dataDir, 'openrc'))
  writeFileSync(openrc, 'export OS_PASSWORD=nobody-has-it\n')
  t.equal(await ensureAdmin(core.identity, { openrc, authUrl: 'http://127.0.0.1:1/v3' }), true)
  t.notMatch(readFileSync(openrc, 'utf8'), 'nobody-has-it')
})
