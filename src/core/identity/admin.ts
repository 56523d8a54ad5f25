/**
 * The first start makes the user `admin` with a random password, and writes down how to log in: `source` it.
 *
 * The password is on the disk, in a pending file, before the user is committed, and the file gets its name afterwards: whoever
 * finds it can log in. A crash in between leaves a user and a pending file, which the next start gives its name, or a pending file
 * whose password nobody has, which the next start writes anew. There is no default password anywhere.
 */

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { renameDurably, writeFileDurably } from '../../lib/files.js'
import { newSecret } from '../../lib/ids.js'
import { shellQuoted } from '../../lib/shell.js'
import { LoginFailed } from '../model/errors.js'
import type { Identity } from './identity.js'
import type { Sessions } from './sessions.js'

export interface AdminOptions {
  /** Where the file goes. */
  openrc: string
  /** Such as `http://127.0.0.1:8780/v3`. */
  authUrl: string
}

export interface FirstAdmin {
  /** The user was made just now. */
  isNew: boolean
  /** Gives the file its name, or the present address. To be called when the login works; does not wait. */
  publish(): void
}

export async function ensureAdmin(
  { identity, sessions }: { identity: Identity; sessions: Sessions },
  { openrc, authUrl }: AdminOptions,
): Promise<FirstAdmin> {
  const pending = `${openrc}.pending`
  const publishPending = () => renameDurably(pending, openrc)
  const user = 'admin'
  if ((await identity.users.list()).length > 0) {
    if (existsSync(pending)) {
      const password = passwordIn(readFileSync(pending, 'utf8'))
      if (existsSync(openrc) || !(await logsIn(sessions, user, password))) rmSync(pending)
    }
    const publish = () => {
      if (existsSync(pending)) publishPending()
      followAuthUrl(openrc, authUrl)
    }
    return { isNew: false, publish }
  }
  const password = newSecret()
  mkdirSync(dirname(openrc), { recursive: true, mode: 0o700 })
  // Of an earlier start that did not get as far as its user.
  rmSync(openrc, { force: true })
  writeFileDurably(pending, openrcText({ authUrl, user, project: user, password }), 0o600)
  await identity.createMember({ user: { name: user, password }, project: user, role: 'admin' })
  return { isNew: true, publish: publishPending }
}

async function logsIn(sessions: Sessions, name: string, password: string): Promise<boolean> {
  try {
    const { token } = await sessions.loginByPassword({ user: { name }, password, scope: 'unscoped' })
    await sessions.revoke(token)
    return true
  } catch (error) {
    if (error instanceof LoginFailed) return false
    throw error
  }
}

const passwordIn = (script: string): string => /^export OS_PASSWORD=(\S*)$/m.exec(script)?.[1] ?? ''

function openrcText(login: { authUrl: string; user: string; project: string; password: string }): string {
  return `# How to log in to Atoll: source this file.
export OS_AUTH_TYPE=password
export OS_AUTH_URL=${shellQuoted(login.authUrl)}
export OS_IDENTITY_API_VERSION=3
export OS_USERNAME=${shellQuoted(login.user)}
export OS_PASSWORD=${shellQuoted(login.password)}
export OS_PROJECT_NAME=${shellQuoted(login.project)}
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
export OS_IMAGE_API_VERSION=2
export OS_VOLUME_API_VERSION=3
`
}

/** The server may listen somewhere else this time. */
function followAuthUrl(openrc: string, authUrl: string): void {
  if (!existsSync(openrc)) return
  const before = readFileSync(openrc, 'utf8')
  const after = before.replace(/^export OS_AUTH_URL=.*$/m, () => `export OS_AUTH_URL=${shellQuoted(authUrl)}`)
  if (after === before) return
  writeFileDurably(openrc, after, 0o600)
  chmodSync(openrc, 0o600)
}
