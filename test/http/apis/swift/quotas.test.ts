import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

t.test('quotas', async (t) => {
  const server = await startServer(t)
  const owner = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const admin = await server.login()
  const put = (path: string, bytes: number) => owner.ask(path, { method: 'PUT', body: 'x'.repeat(bytes) })

  t.test(
    'a container takes no more bytes and objects than its quotas, and takes them again after a DELETE',
    async (t) => {
      const headers = { 'x-container-meta-quota-bytes': '10', 'x-container-meta-quota-count': '2' }
      t.equal((await owner.ask('box', { method: 'PUT', headers })).status, 201)
      t.equal((await put('box/a', 6)).status, 201)
      t.match(await put('box/b', 5), { status: 413, text: 'the upload exceeds a quota' })
      t.equal((await put('box/a', 10)).status, 201)
      t.equal((await put('box/a', 4)).status, 201)
      t.equal((await put('box/b', 4)).status, 201)
      t.equal((await put('box/c', 0)).status, 413)
      t.equal((await owner.ask('box/a', { method: 'COPY', headers: { destination: 'box/d' } })).status, 413)
      t.equal((await owner.ask('box/a', { method: 'DELETE' })).status, 204)
      t.equal((await put('box/c', 6)).status, 201)
      t.equal(
        (await owner.ask('box', { method: 'POST', headers: { 'x-container-meta-quota-bytes': 'x' } })).status,
        400,
      )
      await owner.ask('box', { method: 'POST', headers: { 'x-remove-container-meta-quota-count': 'x' } })
      t.equal((await put('box/d', 0)).status, 201)
      await owner.ask('box', { method: 'POST', headers: { 'x-container-meta-quota-bytes': '' } })
      t.equal((await put('box/d', 99)).status, 201)
    },
  )

  t.test('uploads at the same time do not exceed a quota together', async (t) => {
    await owner.ask('many', { method: 'PUT', headers: { 'x-container-meta-quota-count': '5' } })
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => put(`many/${i}`, 1)))
    t.equal(answers.filter(({ status }) => status === 201).length, 5)
    t.equal(answers.filter(({ status }) => status === 413).length, 15)
    t.equal((await owner.ask('many', { method: 'HEAD' })).headers['x-container-object-count'], '5')
  })

  t.test('only an administrator sets the quota of an account', async (t) => {
    const quota = { 'x-account-meta-quota-bytes': '200' }
    t.equal((await owner.ask('', { method: 'POST', headers: quota })).status, 403)
    const asAdmin = (headers: Record<string, string>) =>
      ask(owner.storageUrl, { method: 'POST', headers: { 'x-auth-token': admin.token, ...headers } })
    t.equal((await asAdmin({ 'x-account-meta-quota-bytes': 'x' })).status, 400)
    t.equal((await asAdmin(quota)).status, 204)
    t.equal(
      (await owner.ask('', { method: 'POST', headers: { 'x-remove-account-meta-quota-bytes': 'x' } })).status,
      403,
    )
    await owner.ask('free', { method: 'PUT' })
    t.equal((await put('free/a', 200)).status, 413)
    t.equal((await put('free/a', 1)).status, 201)
    t.equal((await asAdmin({ 'x-account-meta-quota-bytes': '' })).status, 204)
    t.equal((await put('free/a', 200)).status, 201)
  })
})
