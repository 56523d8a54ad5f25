/**
 * Credentials of users that the Identity API keeps for other programs: EC2 keys, and anything with a type. Their content is stored as it
 * is, since whoever verifies a signature needs it.
 */

import { createHash, randomBytes } from 'node:crypto'
import type { Catalog } from '../../catalog/catalog.js'
import type { CredentialRow } from '../../catalog/schema.js'
import type { Reader } from '../../catalog/types.js'
import { type CredentialId, newCredentialId, type ProjectId, type UserId } from '../../lib/ids.js'
import { CredentialExists, CredentialNotFound, InvalidArgument } from '../model/errors.js'
import type { Caller, Credential, Ec2Credential } from '../model/records.js'
import { mayManageCredentials } from '../policy/access.js'
import { requireStill } from '../policy/rights.js'
import type { Change } from './names.js'
import { requireProject } from './projects.js'
import { requireUser } from './users.js'

export interface NewCredential {
  userId: string
  projectId?: string | null | undefined
  type: string
  blob: string
}

const blobLengthMax = 16 << 10
const credentialsMax = 500

export class Credentials {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  async list(filter: { userId?: string | undefined; type?: string | undefined } = {}): Promise<Credential[]> {
    let query = this.#catalog.db.selectFrom('credentials').selectAll().orderBy('id')
    if (filter.userId !== undefined) query = query.where('user_id', '=', filter.userId as UserId)
    if (filter.type !== undefined) query = query.where('type', '=', filter.type)
    return (await query.execute()).map(toCredential)
  }

  /** Throws CredentialNotFound. */
  async get(id: string): Promise<Credential> {
    return toCredential(await requireCredential(this.#catalog.db, id))
  }

  /** Throws UserNotFound, ProjectNotFound, CredentialExists, InvalidArgument. */
  async create(wanted: NewCredential, by: Caller): Promise<Credential> {
    return this.#catalog.transaction(async ({ db }) => {
      mayManageCredentials(by)
      await requireStill(db, by)
      return insertCredential(db, wanted)
    })
  }

  /** Throws CredentialNotFound, UserNotFound, ProjectNotFound, InvalidArgument. */
  async update(id: string, change: Change<NewCredential>, by: Caller): Promise<Credential> {
    return this.#catalog.transaction(async ({ db }) => {
      mayManageCredentials(by)
      await requireStill(db, by)
      const row = await requireCredential(db, id)
      const next = await checked(db, {
        userId: change.userId ?? row.user_id,
        projectId: change.projectId === undefined ? row.project_id : change.projectId,
        type: change.type ?? row.type,
        blob: change.blob ?? row.blob,
      })
      await db.updateTable('credentials').set(next).where('id', '=', row.id).execute()
      return toCredential({ ...row, ...next })
    })
  }

  /** Throws CredentialNotFound. */
  async delete(id: string, by: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      mayManageCredentials(by)
      await requireStill(db, by)
      const row = await requireCredential(db, id)
      await db.deleteFrom('credentials').where('id', '=', row.id).execute()
    })
  }

  // ---- EC2 ----

  /** A new pair of keys. Throws UserNotFound, ProjectNotFound, InvalidArgument. */
  async createEc2(userId: string, projectId: string, by: Caller): Promise<Ec2Credential> {
    const access = randomBytes(16).toString('hex')
    const secret = randomBytes(16).toString('hex')
    const blob = JSON.stringify({ access, secret, trust_id: null })
    const credential = await this.create({ userId, projectId, type: ec2, blob }, by)
    return ec2Of(credential) as Ec2Credential
  }

  async listEc2(userId: string): Promise<Ec2Credential[]> {
    const { id } = await requireUser(this.#catalog.db, userId)
    return (await this.list({ userId: id, type: ec2 })).flatMap((credential) => ec2Of(credential) ?? [])
  }

  /** Throws CredentialNotFound. */
  async getEc2(userId: string, access: string): Promise<Ec2Credential> {
    const row = await requireCredential(this.#catalog.db, idOfAccess(access))
    const credential = row.user_id === userId ? ec2Of(toCredential(row)) : undefined
    if (credential === undefined) throw new CredentialNotFound(access)
    return credential
  }

  /** Throws CredentialNotFound. */
  async deleteEc2(userId: string, access: string, by: Caller): Promise<void> {
    await this.getEc2(userId, access)
    await this.delete(idOfAccess(access), by)
  }
}

const ec2 = 'ec2'

/** As in Keystone, so that a pair of keys is found by its public half. */
const idOfAccess = (access: string): CredentialId => createHash('sha256').update(access).digest('hex') as CredentialId

async function insertCredential(db: Reader, wanted: NewCredential): Promise<Credential> {
  const values = await checked(db, wanted)
  const own = await db.selectFrom('credentials').select('id').where('user_id', '=', values.user_id).execute()
  if (own.length >= credentialsMax)
    throw new InvalidArgument(`the user has the most credentials that a user may have, ${credentialsMax}`)
  const id = values.type === ec2 ? idOfAccess(keysIn(values.blob).access) : newCredentialId()
  const known = await db.selectFrom('credentials').select('id').where('id', '=', id).executeTakeFirst()
  if (known !== undefined) throw new CredentialExists()
  const row: CredentialRow = { id, ...values, created_at: Date.now() }
  await db.insertInto('credentials').values(row).execute()
  return toCredential(row)
}

async function checked(
  db: Reader,
  { userId, projectId, type, blob }: NewCredential,
): Promise<Pick<CredentialRow, 'user_id' | 'project_id' | 'type' | 'blob'>> {
  if (blob.length > blobLengthMax)
    throw new InvalidArgument(`expected a blob of at most ${blobLengthMax} characters, got ${blob.length}`)
  if (type === '' || type.length > 255) throw new InvalidArgument('expected a type of 1 to 255 characters')
  if (type === ec2) {
    keysIn(blob)
    if (!projectId) throw new InvalidArgument('expected project_id with credentials of the type ec2')
  }
  const user = await requireUser(db, userId)
  const project = projectId ? (await requireProject(db, projectId)).id : null
  return { user_id: user.id, project_id: project as ProjectId | null, type, blob }
}

/** Throws InvalidArgument unless the blob of an EC2 credential has both keys. */
function keysIn(blob: string): { access: string; secret: string } {
  const keys = parsed(blob)
  if (typeof keys?.access !== 'string' || typeof keys.secret !== 'string' || keys.access === '')
    throw new InvalidArgument('expected a blob of JSON with the strings access and secret')
  return { access: keys.access, secret: keys.secret }
}

function parsed(blob: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(blob)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function ec2Of({ userId, projectId, type, blob }: Credential): Ec2Credential | undefined {
  return type === ec2 ? { userId, projectId, ...keysIn(blob) } : undefined
}

async function requireCredential(db: Reader, id: string): Promise<CredentialRow> {
  const row = await db
    .selectFrom('credentials')
    .selectAll()
    .where('id', '=', id as CredentialId)
    .executeTakeFirst()
  if (row === undefined) throw new CredentialNotFound(id)
  return row
}

const toCredential = (row: CredentialRow): Credential => ({
  id: row.id,
  userId: row.user_id,
  projectId: row.project_id,
  type: row.type,
  blob: row.blob,
})
