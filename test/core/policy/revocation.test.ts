// What a user made ends with the right to make it: attachments, uploads.

import t from 'tap'
import type { Attachment, ProjectCaller, Role } from '../../../src/core/model/records.js'
import type { RoleId } from '../../../src/lib/ids.js'
import { pieces, TestStore } from '../support.js'

const store = await TestStore.open(t)
const { attachments, catalog, containers, exports, identity, images, objects, volumeSources } = store.core
exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
const connector = { host: 'machine' }

const roleNamed = async (name: string) => ((await identity.roles.list({ name })) as [Role])[0].id
const setRole = async ({ user, project }: ProjectCaller, role: string | undefined) => {
  for (const { role } of await identity.grants.assignments({ userId: user.id, projectId: project.id }))
    await identity.grants.unassign({ userId: user.id, projectId: project.id, roleId: role.id })
  if (role !== undefined)
    await identity.grants.assign({ userId: user.id, projectId: project.id, roleId: (await roleNamed(role)) as RoleId })
}

/** How rights end, and how they come back where they can. */
const endings: Record<
  string,
  { end(of: ProjectCaller): Promise<unknown>; undo?(of: ProjectCaller): Promise<unknown> }
> = {
  'the role is taken away': { end: (of) => setRole(of, undefined), undo: (of) => setRole(of, 'member') },
  'the role becomes reader': { end: (of) => setRole(of, 'reader'), undo: (of) => setRole(of, 'member') },
  'the user is disabled': {
    end: ({ user }) => identity.users.update(user.id, { enabled: false }),
    undo: ({ user }) => identity.users.update(user.id, { enabled: true }),
  },
  'the project is disabled': {
    end: ({ project }) => identity.projects.update(project.id, { enabled: false }),
    undo: ({ project }) => identity.projects.update(project.id, { enabled: true }),
  },
  'the user is deleted': { end: ({ user }) => identity.users.delete(user.id) },
}

const nameOf = ({ connectionInfo }: Attachment) => connectionInfo?.data.export as string
const isServed = async (name: string) => (await exports.open('tenant', name)) !== null
let count = 0
const newCaller = (role: 'admin' | 'member' = 'member', project?: string) => {
  const name = `user-${++count}`
  return store.caller(name, role, project ?? name)
}
const attachNew = async (caller: ProjectCaller, by = caller) => {
  const { id: volumeId } = await volumeSources.create(caller, { source: { kind: 'blank' }, sizeGib: 1 })
  return attachments.create(by, { volumeId, connector })
}

for (const [words, { end, undo }] of Object.entries(endings)) {
  t.test(`an attachment is served no longer when ${words}`, async (t) => {
    const caller = await newCaller()
    const colleague = await newCaller('member', caller.project.name)
    const attachment = await attachNew(caller)
    const name = nameOf(attachment)
    t.ok(await isServed(name))
    await end(caller)
    t.notOk(await isServed(name))
    t.same(await exports.contexts('tenant', name, { list: true, names: [] }), [])
    t.equal((await attachments.get(colleague, attachment.id)).connectionInfo, null, 'nobody is sent to a dead export')
    if (undo === undefined) return
    await undo(caller)
    t.ok(await isServed(name), 'what was taken back by mistake works again when it is undone')
  })

  t.test(`an upload that ends after ${words} stores nothing`, async (t) => {
    const caller = await newCaller()
    const ref = { projectId: caller.project.id, container: 'box', object: 'o' }
    await containers.put(caller, ref)
    const { id } = await images.create(caller, { diskFormat: 'raw', containerFormat: 'bare' })
    const layers = await store.layersLeft()
    const undone = undo ?? (async () => undefined)
    async function* body() {
      yield* pieces('x')
      await end(caller)
      yield* pieces('y')
    }
    const refusal = { code: /^(token_invalid|not_allowed)$/ } as never
    await t.rejects(objects.put(caller, ref, { body: body(), contentType: 'text/plain' }), refusal)
    await undone(caller)
    if (undo !== undefined) await t.rejects(images.upload(caller, id, { body: body() }), refusal)
    t.same(await store.layersLeft(), layers)
    const row = await catalog.db.selectFrom('images').select('status').where('id', '=', id).executeTakeFirst()
    t.equal(row?.status, 'queued')
  })
}

t.test(
  'a colleague takes an attachment over by giving it a connector, and its old name is worth nothing',
  async (t) => {
    const caller = await newCaller()
    const colleague = await newCaller('member', caller.project.name)
    const attachment = await attachNew(caller)
    const old = nameOf(attachment)
    await setRole(caller, undefined)
    const taken = await attachments.update(colleague, attachment.id, { connector })
    t.not(nameOf(taken), old)
    t.ok(await isServed(nameOf(taken)))
    await setRole(caller, 'member')
    t.notOk(await isServed(old))
    const again = await attachments.update(colleague, attachment.id, { connector })
    t.equal(nameOf(again), nameOf(taken), 'one’s own attachment keeps its name')
  },
)

t.test('what an administrator attached in another project ends with the role admin', async (t) => {
  const owner = await newCaller()
  const admin = await newCaller('admin')
  const name = nameOf(await attachNew(owner, admin))
  t.ok(await isServed(name))
  await setRole(admin, 'member')
  t.notOk(await isServed(name))
})

t.test('an attachment of an earlier version, which names no user, ends with its project alone', async (t) => {
  const caller = await newCaller()
  const attachment = await attachNew(caller)
  await catalog.transaction(({ db }) =>
    db.updateTable('attachments').set({ user_id: null }).where('id', '=', attachment.id).execute(),
  )
  await setRole(caller, undefined)
  t.ok(await isServed(nameOf(attachment)))
  await identity.projects.update(caller.project.id, { enabled: false })
  t.notOk(await isServed(nameOf(attachment)))
})
