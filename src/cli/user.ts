/** `atoll user create`: creates a user. */

import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import { Catalog } from '../catalog/catalog.js'
import { DataDirectory } from '../core/directory/data_directory.js'
import { InvalidArgument } from '../core/model/errors.js'
import { Identity } from '../core/identity/identity.js'
import { Passwords } from '../core/identity/passwords.js'
import { asError } from '../lib/errors.js'
import { print, printable } from '../lib/printing.js'
import { dataOf, dataOption } from './data_option.js'

export const userCommand = (): Command => {
  const command = new Command('user').description('manage users')
  command
    .command('create')
    .description('create a user with a role in a project (and the project, if missing)')
    .argument('<name>', 'name of the user')
    .requiredOption('--project <name>', 'name of the project')
    .addOption(
      new Option('--role <role>', "the user's role in the project")
        .choices(['admin', 'member', 'reader'])
        .default('member'),
    )
    .option('--password-file <file>', 'read the password from the first line of this file')
    .option('--password-stdin', 'read the password from standard input')
    .addOption(dataOption('data directory'))
    .addHelpText(
      'after',
      `
Writes to the catalog directly, whether or not a server is running; write access to the data directory is the only
authorization. A server must have been started on the data directory once. The user can log in immediately.`,
    )
    .action(async (name: string, options: Omit<CreateUser, 'name' | 'data'> & { data?: string }) => {
      await createUser({ ...options, name, data: dataOf(options) })
    })
  return command
}

interface CreateUser {
  name: string
  project: string
  role: string
  passwordFile?: string
  passwordStdin?: boolean
  data: string
}

async function createUser(options: CreateUser): Promise<void> {
  const { name, project, role, data } = options
  const password = await readPassword(options)
  const directory = new DataDirectory(data)
  directory.mustExist()
  const catalog = await Catalog.open({ ...directory.catalogAt(), schema: 'exact' })
  try {
    const user = await new Identity(catalog, new Passwords()).createMember({ user: { name, password }, project, role })
    print(`user ${printable(user.name)} (${user.id}) has the role ${role} in project ${printable(project)}`)
  } finally {
    await catalog.close()
  }
}

/** Reads the password; never from the command line, which other users of the machine can see. */
async function readPassword({ passwordFile, passwordStdin = false }: CreateUser): Promise<string> {
  if ((passwordFile === undefined) === !passwordStdin) {
    throw new InvalidArgument('expected either --password-file FILE or --password-stdin')
  }
  const content = passwordFile === undefined ? await text(process.stdin) : readFile(passwordFile)
  return content.split(/\r?\n/, 1)[0] ?? ''
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new InvalidArgument(`cannot read the password: ${asError(error).message}`)
  }
}
