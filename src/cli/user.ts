/** `atoll user create`. */

import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Catalog } from '../catalog/catalog.js'
import { DataDirectory } from '../core/directory/data_directory.js'
import { InvalidArgument } from '../core/model/errors.js'
import { Identity } from '../core/identity/identity.js'
import { Passwords } from '../core/identity/passwords.js'
import { asError } from '../lib/errors.js'
import { print, printable } from '../lib/printing.js'

export interface CreateUser {
  name: string
  project: string
  role: string
  passwordFile?: string
  passwordStdin?: boolean
  data: string
}

export async function createUser(options: CreateUser): Promise<void> {
  const { name, project, role, data } = options
  const password = await readPassword(options)
  const directory = new DataDirectory(data)
  directory.mustExist()
  const catalog = await Catalog.open({ path: directory.catalog, schema: 'exact' })
  try {
    const user = await new Identity(catalog, new Passwords()).createMember({ user: { name, password }, project, role })
    print(`the user ${printable(user.name)} (${user.id}) is ${role} in the project ${printable(project)}`)
  } finally {
    await catalog.close()
  }
}

/** Never from the command line itself, where other users of the machine see it. */
async function readPassword({ passwordFile, passwordStdin = false }: CreateUser): Promise<string> {
  if ((passwordFile === undefined) === !passwordStdin) {
    throw new InvalidArgument('give the password by --password-file FILE or by --password-stdin: one of the two')
  }
  const content = passwordFile === undefined ? await text(process.stdin) : readFile(passwordFile)
  return content.split(/\r?\n/, 1)[0] ?? ''
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new InvalidArgument(`the password cannot be read: ${asError(error).message}`)
  }
}
