// What the names of roles grant: a role that is none of admin, member and reader grants nothing.

import t from 'tap'
import { rightsOf } from '../../../src/core/policy/access.js'
import { addRole, startServer } from '../../../testkit/server.js'
import { attach, createSnapshot, createVolume } from '../apis/cinder/support.js'

t.test('the policy knows three roles, by their exact names', async (t) => {
  const nothing = { isAdmin: false, canWrite: false, canRead: false }
  t.same(rightsOf(['admin']), { isAdmin: true, canWrite: true, canRead: true })
  t.same(rightsOf(['member']), { isAdmin: false, canWrite: true, canRead: true })
  t.same(rightsOf(['reader']), { isAdmin: false, canWrite: false, canRead: true })
  t.same(rightsOf(['reader', 'member']), { isAdmin: false, canWrite: true, canRead: true })
  for (const roles of [[], [''], ['auditor'], ['Admin', 'MEMBER', ' reader', 'readers', '__proto__']])
    t.same(rightsOf(roles), nothing, JSON.stringify(roles))
})

t.test('a role of another name opens nothing of the project', async (t) => {
  const server = await startServer(t, { nbd: true })
  await addRole(server.core, 'auditor')
  const member = await server.login(await server.createUser({ name: 'member', project: 'blue' }))
  const auditor = await server.login(await server.createUser({ name: 'auditor', project: 'blue', role: 'auditor' }))
  await member.ask('box', { method: 'PUT' })
  await member.ask('box/o', { method: 'PUT', body: 'x' })
  const volume = await createVolume(member)
  const snapshot = await createSnapshot(member, volume.id)
  const attachment = await attach(member, volume.id)
  const image = { visibility: 'community', disk_format: 'raw', container_format: 'bare' }
  const { id: imageId } = (await member.ask('/image/v2/images', { method: 'POST', json: image })).json

  const block = `/volume/v3/${member.projectId}`
  const headers = { 'openstack-api-version': 'volume 3.70' }
  for (const path of [
    '',
    'box',
    'box/o',
    '/image/v2/images',
    `/image/v2/images/${imageId}`,
    `/image/v2/images/${imageId}/file`,
    ...['/volumes', '/snapshots', '/attachments'].flatMap((list) => [`${block}${list}`, `${block}${list}/detail`]),
    `${block}/volumes/${volume.id}`,
    `${block}/volumes/${volume.id}/metadata`,
    `${block}/volumes/summary`,
    `${block}/snapshots/${snapshot.id}`,
    `${block}/attachments/${attachment.id}`,
    `${block}/limits`,
    `${block}/os-quota-sets/${member.projectId}`,
    `${block}/types`,
  ]) {
    for (const method of ['GET', 'HEAD']) {
      const [mine, theirs] = [await member.ask(path, { method, headers }), await auditor.ask(path, { method, headers })]
      if (mine.status < 300) t.equal(theirs.status, 403, `${method} ${path}`)
      else t.ok(method === 'HEAD' || theirs.status === 403, `${method} ${path}: ${mine.status}, ${theirs.status}`)
    }
  }
  for (const [method, path, json] of [
    ['PUT', 'box/n', {}],
    ['DELETE', 'box/o', {}],
    ['POST', '/image/v2/images', image],
    ['PUT', `/image/v2/images/${imageId}/tags/a`, {}],
    ['POST', `${block}/volumes`, { volume: { size: 1 } }],
    ['DELETE', `${block}/volumes/${volume.id}`, {}],
    ['POST', `${block}/volumes/${volume.id}/action`, { 'os-show_image_metadata': null }],
  ] as const) {
    t.equal((await auditor.ask(path, { method, json, headers })).status, 403, `${method} ${path}`)
  }

  t.match((await auditor.ask('/image/v2/images', { headers: { accept: 'application/json' } })).json, { code: /403/ })
  t.match((await auditor.ask(`${block}/volumes`)).json, {
    forbidden: { code: 403, message: 'this needs the role reader' },
  })
  t.match((await auditor.ask('')).text, /^<html><h1>Forbidden/)
  t.match((await auditor.ask(`/v3/users/${auditor.userId}`)).json, { user: { name: 'auditor' } }, 'one sees oneself')
})
