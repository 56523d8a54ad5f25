/**
 * Who may use an account without a role in its project: those whom an access list of the account or the container names, those
 * whom a container is open to, and those who hold a signed URL. What they get is a caller with a grant (model/records.ts), which
 * every read and every transaction on things of the account checks again.
 */

import { createHash } from 'node:crypto'
import type { Catalog } from '../../catalog/catalog.js'
import { Memo } from '../../catalog/memo.js'
import type { ProjectId, UserId } from '../../lib/ids.js'
import { NotAllowed, TokenInvalid } from '../model/errors.js'
import type { Caller, Grant, ProjectCaller } from '../model/records.js'
import { accountLevelOf } from '../policy/account_acl.js'
import { containerAclAllows } from '../policy/container_acl.js'
import { type Settings, settingsOf } from './settings.js'

/** `owner`: what only the owner of an account may do, such as creating a container; `list`: reading a container itself. */
export type Need = 'read' | 'list' | 'write' | 'owner'

export interface Place {
  projectId: string
  /** undefined: the account itself. */
  container: string | undefined
}

export interface Request extends Place {
  caller: Caller | undefined
  need: Need
  /** The Referer header. */
  referrer: string | undefined
}

const rememberedMax = 1024

export class Access {
  readonly #catalog: Catalog
  readonly #settings: Memo<string, Settings>

  constructor(catalog: Catalog) {
    this.#catalog = catalog
    this.#settings = new Memo(catalog, rememberedMax)
  }

  /** As they are now. */
  async settings({ projectId, container }: Place): Promise<Settings> {
    const key = `${projectId}/${container ?? ''}`
    const read = () => settingsOf(this.#catalog.db, projectId, container)
    // What is read is never undefined.
    return (await this.#settings.get(key, read)) as Settings
  }

  /** Throws NotAllowed if the grant of the caller has ended. */
  async requireStill({ grant }: Caller): Promise<void> {
    await grant?.require(this.#catalog.db, grant.container)
  }

  /** The caller as one who may do this by an access list; undefined: no list allows it. */
  async byLists(request: Request): Promise<ProjectCaller | undefined> {
    const { projectId, container, caller, need } = request
    const level = levelIn(await this.settings(request), request)
    if (level === undefined) return undefined
    const grant: Grant = {
      key: hashOf('list', projectId, container ?? '', need, request.referrer ?? ''),
      container,
      ownsAccount: level === 'admin',
      require: async (db, place) => {
        if (place !== container || levelIn(await settingsOf(db, projectId, container), request) === undefined)
          throw refusal(caller)
      },
    }
    return visitor(caller, projectId, { canWrite: need === 'write' || need === 'owner', grant })
  }

  /**
   * A caller who holds proof made with a secret of the account or the container, such as a signed URL. `proves` sees the secrets of both
   * and returns where the one that fits is from; it is called again whenever the grant is checked.
   */
  async bySecret(
    { projectId, container }: { projectId: string; container: string },
    proof: { id: string; canWrite: boolean; proves: (secrets: Secrets) => keyof Secrets | undefined },
  ): Promise<ProjectCaller | undefined> {
    const place = { projectId, container }
    if (proof.proves(secretsIn(await this.settings(place))) === undefined) return undefined
    const grant: Grant = {
      key: hashOf('secret', projectId, container, proof.id),
      container,
      ownsAccount: false,
      require: async (db, other) => {
        const scope = proof.proves(secretsIn(await settingsOf(db, projectId, container)))
        // A secret of the container opens that one only; one of the account opens all containers.
        if (scope === undefined || other === undefined || (scope === 'container' && other !== container))
          throw refusal(undefined)
      },
    }
    return visitor(undefined, projectId, { canWrite: proof.canWrite, grant })
  }
}

/** The keys of signed URLs, by where they are kept. */
export interface Secrets {
  account: string[]
  container: string[]
}

export const secretNames = ['temp-url-key', 'temp-url-key-2'] as const

function secretsIn({ account, container }: Settings): Secrets {
  const of = (metadata: Record<string, string> = {}) =>
    secretNames.map((name) => metadata[name]).filter((key) => key !== undefined && key !== '') as string[]
  return { account: of(account.metadata), container: of(container?.metadata) }
}

/** What the lists grant for the request; undefined: nothing. */
function levelIn(settings: Settings, request: Request): 'admin' | 'some' | undefined {
  const { caller, need, container } = request
  const headers = settings.container?.headers
  const acl = headers?.[need === 'write' ? 'x-container-write' : 'x-container-read'] ?? ''
  const visitor = { caller, referrer: need === 'write' ? undefined : request.referrer, listing: need === 'list' }
  const level = accountLevelOf(settings.account.headers['x-account-access-control'] ?? '', caller)
  if (level === 'admin') return 'admin'
  if (level === 'read-write' && (need !== 'owner' || container !== undefined)) return 'some'
  if (level === 'read-only' && (need === 'read' || need === 'list')) return 'some'
  return need !== 'owner' && container !== undefined && containerAclAllows(acl, visitor) ? 'some' : undefined
}

/** Without a token, one might help. */
const refusal = (caller: Caller | undefined) => (caller === undefined ? new TokenInvalid() : new NotAllowed('member'))

const nowhere = { id: '' as ProjectId, name: '' }

const nobody = {
  id: '' as UserId,
  name: '',
  domain: nowhere,
  enabled: true,
  description: '',
  email: null,
  defaultProjectId: null,
  extra: {},
  createdAt: 0,
}

/** Acts in the project of the account, whatever the token is scoped to. */
function visitor(
  caller: Caller | undefined,
  projectId: string,
  { canWrite, grant }: { canWrite: boolean; grant: Grant },
): ProjectCaller {
  const project = {
    id: projectId as ProjectId,
    name: '',
    domain: nowhere,
    parentId: null,
    isDomain: false,
    enabled: true,
    description: '',
    extra: {},
    createdAt: 0,
  }
  return {
    user: caller?.user ?? nobody,
    project,
    domain: undefined,
    system: false,
    credentialId: null,
    isRestricted: true,
    roles: caller?.roles ?? [],
    isAdmin: false,
    canRead: true,
    canWrite,
    grant,
  }
}

const hashOf = (...parts: string[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
