import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'
import { call } from './support.js'

const server = await startServer(t)
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))

t.test('the root answers 300 and /v3/ 200, both with the range of microversions and without a token', async (t) => {
  const root = await ask(`${server.url}/volume/`)
  t.equal(root.status, 300)
  t.match(root.json.versions, [
    {
      id: 'v3.0',
      status: 'CURRENT',
      version: '3.70',
      min_version: '3.0',
      links: [{}, { rel: 'self', href: `${server.url}/volume/v3/` }],
    },
  ])
  const v3 = await ask(`${server.url}/volume/v3/`)
  t.equal(v3.status, 200)
  t.same(v3.json, root.json)
})

t.test('every answer says which microversion was used', async (t) => {
  const plain = await call(alice, 'GET', '/volumes')
  t.equal(plain.headers['openstack-api-version'], 'volume 3.0')
  t.match(plain.headers.vary, 'OpenStack-API-Version')
  const newer = await call(alice, 'GET', '/volumes', { minor: 27 })
  t.equal(newer.headers['openstack-api-version'], 'volume 3.27')
  const latest = await call(alice, 'GET', '/volumes', { headers: { 'openstack-api-version': 'volume latest' } })
  t.equal(latest.headers['openstack-api-version'], 'volume 3.70')
  const missing = await call(alice, 'GET', '/volumes/nothing', { minor: 50 })
  t.equal(missing.headers['openstack-api-version'], 'volume 3.50')
})

t.test('a microversion that is too high is 406', async (t) => {
  const answer = await call(alice, 'GET', '/volumes', { minor: 71 })
  t.equal(answer.status, 406)
  t.match(answer.json, { computeFault: { code: 406, message: /Minimum is 3.0 and maximum is 3.70/ } })
})

t.test('the project may be left out of the path, and must be the token’s when it is there', async (t) => {
  t.equal((await alice.ask('/volume/v3/volumes')).status, 200)
  t.equal((await alice.ask(`/volume/v3/${alice.projectId}/volumes`)).status, 200)
  const other = await alice.ask(`/volume/v3/${admin.projectId}/volumes`)
  t.equal(other.status, 400)
  t.same(other.json, { badRequest: { code: 400, message: 'Malformed request url' } })
})

t.test('without a token it is 401', async (t) => {
  const answer = await ask(`${server.url}/volume/v3/volumes`)
  t.equal(answer.status, 401)
  t.match(answer.json, { unauthorized: { code: 401 } })
})

t.test('resources that Atoll does not support are 400, and unknown paths 404', async (t) => {
  for (const path of ['/backups', '/backups/detail', '/groups', '/volume-transfers/x', '/qos-specs', '/messages']) {
    const answer = await call(alice, 'GET', path, { minor: 70 })
    t.equal(answer.status, 400, path)
    t.match(answer.json, { badRequest: { code: 400, message: /^Atoll does not support / } })
  }
  const nothing = await call(alice, 'GET', '/nothing')
  t.equal(nothing.status, 404)
  t.match(nothing.json, { itemNotFound: { code: 404 } })
})

t.test('there is one volume type, known by its id and listed under is_public=None', async (t) => {
  const { volume_types: types } = (await call(alice, 'GET', '/types?is_public=None')).json
  t.equal(types.length, 1)
  t.match(types[0], { name: 'atoll', is_public: true, 'os-volume-type-access:is_public': true, extra_specs: {} })
  t.same((await call(alice, 'GET', '/types/default')).json.volume_type, types[0])
  t.same((await call(alice, 'GET', `/types/${types[0].id}`)).json.volume_type, types[0])
  t.equal((await call(alice, 'GET', '/types/atoll')).status, 404)
})

t.test('limits, quotas, zones and extensions are shown', async (t) => {
  const { limits } = (await call(alice, 'GET', '/limits')).json
  t.same(limits.rate, [])
  t.match(limits.absolute, { maxTotalVolumes: -1, totalVolumesUsed: 0, totalGigabytesUsed: 0, totalSnapshotsUsed: 0 })
  const quota = (await call(alice, 'GET', `/os-quota-sets/${alice.projectId}?usage=True`)).json.quota_set
  t.same(quota.volumes, { limit: -1, in_use: 0, reserved: 0 })
  t.equal((await call(alice, 'GET', `/os-quota-sets/${admin.projectId}`)).status, 403)
  t.equal((await call(admin, 'GET', `/os-quota-sets/${alice.projectId}`)).json.quota_set.volumes, -1)
  t.same((await call(alice, 'GET', '/os-availability-zone')).json, {
    availabilityZoneInfo: [{ zoneName: 'nova', zoneState: { available: true } }],
  })
  for (const extension of (await call(alice, 'GET', '/extensions')).json.extensions)
    t.same(Object.keys(extension).sort(), ['alias', 'description', 'links', 'name', 'updated'])
})

t.test('services and pools are for administrators', async (t) => {
  t.equal((await call(alice, 'GET', '/os-services')).status, 403)
  t.equal((await call(alice, 'GET', '/scheduler-stats/get_pools')).status, 403)
  const [service] = (await call(admin, 'GET', '/os-services')).json.services
  t.match(service, { binary: 'cinder-volume', state: 'up', status: 'enabled', host: /.+@atoll$/ })
  t.notOk('cluster' in service)
  const [newer] = (await call(admin, 'GET', '/os-services', { minor: 49 })).json.services
  t.match(newer, { cluster: null, backend_state: 'up' })
  t.match((await call(admin, 'GET', '/scheduler-stats/get_pools?detail=True')).json.pools[0].name, /.+@.+#.+/)
})
