/**
 * The first start makes the user `admin` with a random password, and writes down how to log in: `source` it.
 *
 * The file comes first and the user second: a crash between the two leaves a file whose password nobody has, and the next
 * start makes both anew. There is no default password anywhere.
 */

import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileDurably } from '../lib/files.js'
import { newSecret } from '../lib/ids.js'
import type { Identity } from './identity.js'

export interface AdminOptions {
  /** Where the file goes. */
  openrc: string
  /** Such as `http://127.0.0.1:8780/v3`. */
  authUrl: string
}

/** Answers whether this was the first start. */
export async function ensureAdmin(identity: Identity, { openrc, authUrl }: AdminOptions): Promise<boolean> {
  if ((await identity.users()).length > 0) {
    followAuthUrl(openrc, authUrl)
    return false
  }
  const password = newSecret()
  mkdirSync(dirname(openrc), { recursive: true, mode: 0o700 })
  writeFileDurably(openrc, openrcText({ authUrl, user: 'admin', project: 'admin', password }), 0o600)
  await identity.createMember({ user: { name: 'admin', password }, project: 'admin', role: 'admin' })
  return true
}

function openrcText(login: { authUrl: string; user: string; project: string; password: string }): string {
  return `# How to log in to Atoll: source this file.
export OS_AUTH_TYPE=password
export OS_AUTH_URL=${login.authUrl}
export OS_IDENTITY_API_VERSION=3
export OS_USERNAME=${login.user}
export OS_PASSWORD=${login.password}
export OS_PROJECT_NAME=${login.project}
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
  const after = before.replace(/^export OS_AUTH_URL=.*$/m, `export OS_AUTH_URL=${authUrl}`)
  if (after === before) return
  writeFileDurably(openrc, after, 0o600)
  chmodSync(openrc, 0o600)
}
