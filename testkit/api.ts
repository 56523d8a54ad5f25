// api.ts: the HTTP calls that tests make many of, without the seconds that each stock client takes.

import type { Environment } from './stock_clients.js'

type Json = Record<string, unknown>

const json = { 'content-type': 'application/json' }

export class Api {
  readonly #base: string
  readonly token: string
  readonly projectId: string

  private constructor(base: string, token: string, projectId: string) {
    this.#base = base
    this.token = token
    this.projectId = projectId
  }

  /** `environment`: OS_* variables as in openrc/admin.sh. */
  static async login(environment: Environment): Promise<Api> {
    const {
      OS_AUTH_URL: authUrl = '',
      OS_USERNAME: name,
      OS_PASSWORD: password,
      OS_PROJECT_NAME: project,
    } = environment
    const domain = { id: 'default' }
    const answer = await fetch(`${authUrl}/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        auth: {
          identity: { methods: ['password'], password: { user: { name, domain, password } } },
          scope: { project: { name: project, domain } },
        },
      }),
    })
    if (answer.status !== 201) throw new Error(`login: ${answer.status} ${await answer.text()}`)
    const { token } = (await answer.json()) as { token: { project: { id: string } } }
    return new Api(new URL(authUrl).origin, answer.headers.get('x-subject-token') ?? '', token.project.id)
  }

  /** Any call; the caller looks at the status. */
  call(method: string, path: string, init: RequestInit & { duplex?: 'half' } = {}): Promise<Response> {
    const headers = { 'x-auth-token': this.token, ...(init.headers as Record<string, string>) }
    return fetch(`${this.#base}${path}`, { ...init, method, headers })
  }

  /** A call that must answer this status. */
  async expect(
    status: number,
    method: string,
    path: string,
    init: { body?: Buffer; headers?: Environment } = {},
  ): Promise<Response> {
    const answer = await this.call(method, path, init)
    if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }

  // ---- objects ----

  /** The path of a container or, as `container/object`, of an object. */
  object(name: string): string {
    return `/v1/AUTH_${this.projectId}/${name}`
  }

  /** The names of the objects of a container. */
  async objects(container: string): Promise<string[]> {
    const listing = await this.call('GET', this.object(container))
    return (await listing.text()).split('\n').filter(Boolean)
  }

  // ---- images ----

  /** A raw image of these bytes. */
  async createImage({ name, bytes }: { name: string; bytes: Buffer }): Promise<string> {
    const image = { name, disk_format: 'raw', container_format: 'bare' }
    const made = await this.expect(201, 'POST', '/image/v2/images', {
      body: Buffer.from(JSON.stringify(image)),
      headers: json,
    })
    const { id } = (await made.json()) as { id: string }
    const octets = { 'content-type': 'application/octet-stream' }
    await this.expect(204, 'PUT', `/image/v2/images/${id}/file`, { body: bytes, headers: octets })
    return id
  }

  // ---- volumes and snapshots ----

  /** Fields as Cinder's; the size is 1 GiB unless they say otherwise. Resolves when it is available. */
  async createVolume(fields: Json = {}): Promise<string> {
    return this.#create('volume', { size: 1, ...fields })
  }

  async createSnapshot({ volumeId, name }: { volumeId: string; name?: string }): Promise<string> {
    return this.#create('snapshot', { volume_id: volumeId, name, force: true })
  }

  /** Attached or not. Resolves when it has the new size. */
  async extend(volumeId: string, sizeGib: number): Promise<void> {
    await this.#volumeCall('POST', `/volumes/${volumeId}/action`, { 'os-extend': { new_size: sizeGib } })
    for (let tries = 0; tries < 300; tries++) {
      const { volume } = (await this.#volumeCall('GET', `/volumes/${volumeId}`)) as { volume: { size: number } }
      if (volume.size === sizeGib) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error(`the volume did not grow to ${sizeGib} GiB within 30 s`)
  }

  async list(kind: 'volumes' | 'snapshots'): Promise<{ id: string; name: string }[]> {
    const body = await this.#volumeCall('GET', `/${kind}`)
    return body[kind] as { id: string; name: string }[]
  }

  /** Resolves when the volume or snapshot is gone (404). */
  async delete(kind: 'volumes' | 'snapshots', id: string): Promise<void> {
    await this.#volumeCall('DELETE', `/${kind}/${id}`)
    await this.#until(`/${kind}/${id}`, kind.slice(0, -1), 'gone')
  }

  /** Answers the attachment's id, its NBD URI, and what it says of TLS. */
  async attach(volumeId: string, mode: 'rw' | 'ro' = 'rw'): Promise<{ id: string; uri: string; tls?: unknown }> {
    const connector = { host: 'test', initiator: 'test', platform: 'x86_64', os_type: 'linux' }
    const attachment = { volume_uuid: volumeId, instance_uuid: null, connector, mode }
    const body = await this.#volumeCall('POST', '/attachments', { attachment })
    const made = body['attachment'] as { id: string; connection_info: { uri: string; tls?: unknown } }
    const { uri, tls } = made.connection_info
    return { id: made.id, uri, tls }
  }

  /** The machine has it: the volume is in use. */
  async complete(attachmentId: string): Promise<void> {
    await this.#volumeCall('POST', `/attachments/${attachmentId}/action`, { 'os-complete': {} })
  }

  async detach(attachmentId: string): Promise<void> {
    await this.#volumeCall('DELETE', `/attachments/${attachmentId}`)
  }

  async #create(kind: 'volume' | 'snapshot', fields: Json): Promise<string> {
    const body = await this.#volumeCall('POST', `/${kind}s`, { [kind]: fields })
    const { id } = body[kind] as { id: string }
    await this.#until(`/${kind}s/${id}`, kind, 'available')
    return id
  }

  async #volumeCall(method: string, path: string, body?: Json): Promise<Json> {
    const answer = await this.#volume(method, path, body)
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text === '' ? {} : (JSON.parse(text) as Json)
  }

  #volume(method: string, path: string, body?: Json): Promise<Response> {
    return this.call(method, `/volume/v3/${this.projectId}${path}`, {
      headers: { 'content-type': 'application/json', 'openstack-api-version': 'volume 3.54' },
      ...(body && { body: JSON.stringify(body) }),
    })
  }

  async #until(path: string, member: string, wanted: string): Promise<void> {
    for (let tries = 0; tries < 300; tries++) {
      const answer = await this.#volume('GET', path)
      const body = (await answer.json()) as Record<string, { status: string }>
      const status = answer.status === 404 ? 'gone' : body[member]?.status
      if (status === wanted) return
      if (status === 'error') throw new Error(`${path} is in state error`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error(`${path} did not become ${wanted} within 30 s`)
  }
}
