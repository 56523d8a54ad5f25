// Clients choose names, also those that every JavaScript object has: they are names like any other.

import t from 'tap'
import { startServer } from '../../../testkit/server.js'
import { createVolume } from '../apis/cinder/support.js'
import { createImage, patch } from '../apis/glance/support.js'

const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf', 'prototype']
const server = await startServer(t, { nbd: true })
const admin = await server.login()
const volumes = `/volume/v3/${admin.projectId}`
await admin.ask('box', { method: 'PUT' })
/** A body with such a member, which an object literal cannot have. */
const withMember = (name: string, value: string) => `{${JSON.stringify(name)}: ${JSON.stringify(value)}}`

for (const name of names) {
  t.test(`${name} as a name of objects, containers and their metadata`, async (t) => {
    for (const path of [name, `box/x.${name}`, `box/${name}`]) {
      t.match((await admin.ask(path, { method: 'PUT', body: '' })).status, /^20[12]$/, path)
      t.equal((await admin.ask(path)).status < 300, true, path)
    }
    t.equal((await admin.ask(`box/x.${name}`)).headers['content-type'], 'application/octet-stream')
    const lower = name.toLowerCase()
    for (const [owner, path] of [
      ['object', 'box/o'],
      ['container', 'box'],
      ['account', ''],
    ] as const) {
      const header = `x-${owner}-meta-${lower}`
      const method = owner === 'account' ? 'POST' : 'PUT'
      t.equal((await admin.ask(path, { method, headers: { [header]: 'v' }, body: '' })).status < 300, true)
      t.equal((await admin.ask(path, { method: 'HEAD' })).headers[header], 'v', header)
      if (owner === 'object') continue
      await admin.ask(path, { method: 'POST', headers: { [`x-remove-${owner}-meta-${lower}`]: 'x' } })
      t.equal((await admin.ask(path, { method: 'HEAD' })).headers[header], undefined, `${header} is removed`)
    }
    t.equal((await admin.ask(`?format=${name}`)).headers['content-type'], 'text/plain; charset=utf-8')
  })

  t.test(`${name} as a property of images`, async (t) => {
    const body = `{"disk_format": "raw", "container_format": "bare", ${withMember(name, 'v').slice(1)}`
    const made = await admin.ask('/image/v2/images', { method: 'POST', body })
    t.equal(made.status, 201)
    t.ok(Object.hasOwn(made.json, name) && made.json[name] === 'v')
    const { id } = await createImage(admin)
    t.equal((await patch(admin, id, [{ op: 'add', path: `/${name}`, value: 'w' }])).json[name], 'w')
    const { images } = (await admin.ask(`/image/v2/images?${name}=v`)).json
    t.same(
      images.map((image: { id: string }) => image.id),
      [made.json.id],
    )
    const tag = await admin.ask(`/image/v2/images/${id}/tags/${name}`, { method: 'PUT' })
    t.equal(tag.status, 204)
  })

  t.test(`${name} as metadata of volumes, an action, an order and a filter`, async (t) => {
    const { id } = await createVolume(admin)
    const set = await admin.ask(`${volumes}/volumes/${id}/metadata`, {
      method: 'POST',
      body: `{"metadata": ${withMember(name, 'v')}}`,
    })
    t.equal(set.status, 200)
    t.equal((await admin.ask(`${volumes}/volumes/${id}/metadata/${name}`)).json.meta[name], 'v')
    const filter = encodeURIComponent(withMember(name, 'v'))
    t.equal((await admin.ask(`${volumes}/volumes?metadata=${filter}`)).json.volumes.length, 1)
    t.equal((await admin.ask(`${volumes}/volumes/${id}/metadata/${name}`, { method: 'DELETE' })).status, 200)
    t.equal((await admin.ask(`${volumes}/volumes/${id}/metadata/${name}`)).status, 404)
    for (const path of [`volumes/${id}/action`, 'volumes', 'attachments']) {
      const answer = await admin.ask(`${volumes}/${path}`, {
        method: 'POST',
        body: withMember(name, 'v'),
        headers: { 'openstack-api-version': 'volume 3.70' },
      })
      t.equal(answer.status, 400, path)
    }
    t.equal((await admin.ask(`${volumes}/volumes?sort=${name}`)).status, 400)
  })

  t.test(`${name} as a parameter, in a body and as an id`, async (t) => {
    for (const path of ['/v3/users', '/v3/projects', `${volumes}/volumes`, `${volumes}/types`, ''])
      t.equal((await admin.ask(`${path}?${name}=x`)).status, 400, path)
    for (const path of [
      `/v3/users/${name}`,
      `/v3/projects/${name}`,
      `/v3/${name}`,
      `/image/v2/images/${name}`,
      `/image/v2/schemas/${name}`,
      `${volumes}/volumes/${name}`,
      `${volumes}/types/${name}`,
      `${volumes}/${name}`,
    ])
      t.equal((await admin.ask(path)).status, 404, path)
    for (const path of ['/v3/auth/tokens', '/v3/users', '/image/v2/images/x'])
      t.match((await admin.ask(path, { method: 'POST', body: withMember(name, 'v') })).status, /^4/, path)
  })
}
