import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { createImage, upload } from './support.js'

const server = await startServer(t)
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))
const carol = await server.login(await server.createUser({ name: 'carol' }))

const members = (id: string) => `/image/v2/images/${id}/members`
const add = (id: string, project: string, by = alice) =>
  by.ask(members(id), { method: 'POST', json: { member: project } })
const set = (id: string, project: string, status: string, by = bob) =>
  by.ask(`${members(id)}/${project}`, { method: 'PUT', json: { status } })
const listed = async (query: string, by = bob): Promise<string[]> => {
  const answer = await by.ask(`/image/v2/images?${query}`)
  return (answer.json as { images: { id: string }[] }).images.map(({ id }) => id)
}

t.test('a member sees a shared image by its ID at once, and in lists once it has accepted', async (t) => {
  const { id } = await createImage(alice, { name: 'shared' })
  await upload(alice, id, Buffer.from('bytes'))
  t.equal((await bob.ask(`/image/v2/images/${id}`)).status, 404)
  const added = await add(id, bob.projectId)
  t.equal(added.status, 200)
  t.match(added.json, { image_id: id, member_id: bob.projectId, status: 'pending', schema: '/v2/schemas/member' })
  t.equal((await bob.ask(`/image/v2/images/${id}/file`)).text, 'bytes')
  t.same(await listed(''), [])
  t.same(await listed('visibility=shared&member_status=pending'), [id])
  t.match((await set(id, bob.projectId, 'accepted')).json, { status: 'accepted' })
  t.same(await listed(''), [id])
  t.same(await listed('visibility=shared'), [id])
  await set(id, bob.projectId, 'rejected')
  t.same(await listed(''), [])
  t.same(await listed('member_status=rejected'), [id])
  t.same(await listed('member_status=all'), [id])
  t.equal((await alice.ask(`${members(id)}/${bob.projectId}`, { method: 'DELETE' })).status, 204)
  t.equal((await bob.ask(`/image/v2/images/${id}`)).status, 404)
  t.same(await listed('member_status=all'), [])
})

t.test('only the owner shares, and only the member accepts', async (t) => {
  const { id } = await createImage(alice)
  await add(id, bob.projectId)
  await add(id, carol.projectId)
  t.equal((await add(id, bob.projectId)).status, 409)
  t.equal((await add(id, bob.projectId, bob)).status, 403)
  t.equal((await set(id, bob.projectId, 'accepted', alice)).status, 403)
  t.equal((await set(id, bob.projectId, 'accepted', carol)).status, 404, 'a member knows of itself only')
  t.equal((await set(id, bob.projectId, 'perhaps')).status, 400)
  t.equal((await alice.ask(members(id), { method: 'POST', json: { member: '' } })).status, 400)
  t.equal((await bob.ask(`${members(id)}/${carol.projectId}`)).status, 404)
  t.equal((await bob.ask(`${members(id)}/${carol.projectId}`, { method: 'DELETE' })).status, 403)
  const names = async (by = alice) => {
    const { members: list } = (await by.ask(members(id))).json as { members: { member_id: string }[] }
    return list.map(({ member_id }) => member_id).sort()
  }
  t.same(await names(), [bob.projectId, carol.projectId].sort())
  t.same(await names(bob), [bob.projectId])
  t.equal((await alice.ask(`${members(id)}/nobody`)).status, 404)
})

t.test('images of another visibility have no members', async (t) => {
  const { id } = await createImage(alice, { visibility: 'private' })
  t.equal((await add(id, bob.projectId)).status, 403)
  t.equal((await alice.ask(members(id))).status, 403)
  t.equal((await bob.ask(members(id))).status, 404)
})

t.test('an image has at most 128 members', async (t) => {
  const { id } = await createImage(alice)
  for (let i = 0; i < 128; i++) t.equal((await add(id, `project ${i}`)).status, 200)
  t.equal((await add(id, 'one more')).status, 413)
})
