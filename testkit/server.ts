/**
 * A real server in this process, on a port of its own and a data directory that goes with the test.
 * (For a server that can be killed there is server_process.ts.)
 */

import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Core } from '../src/core/core.js'
import { openStore, type Store } from '../src/core/store.js'
import type { EngineCounters } from '../src/engine/engine.js'
import { catalogUrl } from './catalogs.js'
import { createApp, type HttpLimits } from '../src/http/app.js'
import type { UrlSettings } from '../src/http/shared/base_url.js'
import type { Fairness } from '../src/http/shared/fairness.js'
import type { Readiness } from '../src/http/shared/readiness.js'
import { type Logger, silentLogger } from '../src/lib/log.js'
import { type Answer, ask, type Question } from './http.js'

export interface Credentials {
  user: string
  password: string
  project: string
}

export interface TestServer {
  /** `http://127.0.0.1:<port>`, without a trailing slash. */
  url: string
  core: Core
  dataDir: string
  admin: Credentials
  /** A token scoped to the project of `as` (default: the admin's). Rejects when the login is refused. */
  login(as?: Credentials): Promise<Session>
  /** A new user with this role (default: member) in this project (default: one of the user's own name), made if need be. */
  createUser(user: { name: string; role?: string; project?: string }): Promise<Credentials>
  /** OS_* variables for the stock clients. */
  environment(as?: Credentials): Record<string, string>
  counters(): EngineCounters
  /** The server's ends of its HTTP connections. */
  connections(): Socket[]
  /** The paths that the server answers, as Fastify knows them; `ID` stands for each parameter. */
  routes(): string[]
  /** Ends the server in order, before the test does. */
  close(): Promise<void>
  /** What its clients hold of it. */
  fairness: Fairness
  /** How many layers the engine has state of: what an upload that failed must not leave behind. */
  layers(): Promise<number>
}

export interface Session {
  token: string
  projectId: string
  userId: string
  /** `<url>/v1/AUTH_<project>`. */
  storageUrl: string
  /** `path`: from `/` on, or in the project's storage account when it begins otherwise. The token is sent along. */
  ask(path: string, question?: Question): Promise<Answer>
}

export interface TestServerOptions {
  limits?: Partial<HttpLimits>
  headersMs?: number
  closeGraceMs?: number
  /** With a TCP door for NBD on a free port. */
  nbd?: boolean
  urls?: UrlSettings
  /** Default: it is ready at once. */
  readiness?: Readiness
  /** HTTPS; its URL begins with `http:` all the same. */
  tls?: { cert: string; key: string }
  log?: Logger
}

interface Teardown {
  teardown(end: () => unknown): unknown
}

export async function startServer(t: Teardown, options: TestServerOptions = {}): Promise<TestServer> {
  const { nbd = false, log = silentLogger(), ...appOptions } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'atoll-test-'))
  const store = await openStore({ dataDir, catalog: await catalogUrl(), log })
  const { core, engine } = store
  const admin = await createUser(core, { name: 'admin', role: 'admin' })
  const app = await createApp({ core, log, closeGraceMs: 1000, ...appOptions })
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  if (nbd) await openTenantDoor(store)
  core.startBackground()
  const close = async () => {
    await app.close()
    await store.close()
  }
  t.teardown(async () => {
    await close()
    await rm(dataDir, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  return {
    url,
    core,
    dataDir,
    admin,
    login: (as = admin) => login(url, as),
    createUser: (user) => createUser(core, user),
    environment: (as = admin) => environment(url, as),
    routes: () => pathsOf(app.printRoutes({ commonPrefix: false })),
    close,
    counters: () => engine.counters(),
    connections: () => [...sockets],
    fairness: app.fairness,
    layers: async () => (await engine.layers.list()).length,
  }
}

/** Of Fastify's drawing: four characters of indentation for each level, then the rest of the path and its methods. */
function pathsOf(drawing: string): string[] {
  const paths: string[] = []
  const above: string[] = []
  for (const line of drawing.split('\n')) {
    const [, indentation, part] = /^([│ ]*)[├└]── (\S+)/.exec(line) ?? []
    if (indentation === undefined || part === undefined) continue
    const depth = indentation.length / 4
    above.length = depth
    const path = (above[depth - 1] ?? '') + part
    above.push(path)
    paths.push(path.replace(/:[^/]+|\*$/g, 'ID'))
  }
  return paths
}

async function openTenantDoor({ core, engine }: Store): Promise<void> {
  const address = new URL(`nbd://${await engine.nbd.listen({ address: '127.0.0.1:0', door: 'tenant' })}`)
  core.exports.tenantAddress = { host: address.hostname, port: Number(address.port) }
}

/** A role of a name that no policy knows. */
export async function addRole({ identity }: Core, name: string): Promise<void> {
  await identity.roles.create({ name })
}

async function createUser(core: Core, user: { name: string; role?: string; project?: string }): Promise<Credentials> {
  const { name, role = 'member', project = name } = user
  const password = `password-of-${name}`
  await core.identity.createMember({ user: { name, password }, project, role })
  return { user: name, password, project }
}

async function login(url: string, { user, password, project }: Credentials): Promise<Session> {
  const domain = { id: 'default' }
  const identity = { methods: ['password'], password: { user: { name: user, domain, password } } }
  const json = { auth: { identity, scope: { project: { name: project, domain } } } }
  const answer = await ask(`${url}/v3/auth/tokens`, { method: 'POST', json })
  if (answer.status !== 201) throw new Error(`the login of ${user} is refused: ${answer.status} ${answer.text}`)
  const token = String(answer.headers['x-subject-token'])
  const projectId: string = answer.json.token.project.id
  const storageUrl = `${url}/v1/AUTH_${projectId}`
  return {
    token,
    projectId,
    userId: answer.json.token.user.id,
    storageUrl,
    ask: (path, question = {}) =>
      ask(path.startsWith('/') ? `${url}${path}` : joined(storageUrl, path), {
        ...question,
        headers: { 'x-auth-token': token, ...question.headers },
      }),
  }
}

function joined(storageUrl: string, path: string): string {
  return path === '' || path.startsWith('?') ? `${storageUrl}${path}` : `${storageUrl}/${path}`
}

function environment(url: string, { user, password, project }: Credentials): Record<string, string> {
  return {
    OS_AUTH_TYPE: 'password',
    OS_AUTH_URL: `${url}/v3`,
    OS_IDENTITY_API_VERSION: '3',
    OS_USERNAME: user,
    OS_PASSWORD: password,
    OS_PROJECT_NAME: project,
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_NAME: 'Default',
  }
}
