import t, { type Test } from 'tap'
import { startServer } from '../../../../testkit/server.js'

t.test('listings', async (t) => {
  const server = await startServer(t)
  const { ask } = await server.login()
  await ask('box', { method: 'PUT' })
  const names = ['a', 'b/1', 'b/2', 'b/c/3', 'b0', 'c', 'd/4', 'ä', 'é/x', '😀']
  for (const name of names) await ask(`box/${encodeURIComponent(name)}`, { method: 'PUT', body: name })

  /** The names of a listing in the order they come, in text and in JSON alike. */
  async function list(t: Test, query: Record<string, string | number>): Promise<string[]> {
    const search = new URLSearchParams(query as Record<string, string>)
    const text = await ask(`box?${search}`)
    search.set('format', 'json')
    const json = (await ask(`box?${search}`)).json.map(
      (row: { name?: string; subdir?: string }) => row.name ?? row.subdir,
    )
    t.same(text.text.split('\n').slice(0, -1), json)
    return json
  }

  t.test('all names come in the order of their bytes', async (t) => {
    t.same(await list(t, {}), names)
  })

  t.test('prefix', async (t) => {
    t.same(await list(t, { prefix: 'b/' }), ['b/1', 'b/2', 'b/c/3'])
    t.same(await list(t, { prefix: 'z' }), [])
    t.same(await list(t, { prefix: 'é' }), ['é/x'])
  })

  t.test('delimiter folds names into directories', async (t) => {
    t.same(await list(t, { delimiter: '/' }), ['a', 'b/', 'b0', 'c', 'd/', 'ä', 'é/', '😀'])
    t.same(await list(t, { delimiter: '/', prefix: 'b/' }), ['b/1', 'b/2', 'b/c/'])
    t.same(await list(t, { delimiter: '/', prefix: 'b' }), ['b/', 'b0'])
  })

  t.test('marker, end_marker and limit', async (t) => {
    t.same(await list(t, { marker: 'b/2' }), ['b/c/3', 'b0', 'c', 'd/4', 'ä', 'é/x', '😀'])
    t.same(await list(t, { marker: 'b/', end_marker: 'c' }), ['b/1', 'b/2', 'b/c/3', 'b0'])
    t.same(await list(t, { limit: 2 }), ['a', 'b/1'])
    t.same(await list(t, { limit: 0 }), [])
    t.same(await list(t, { limit: 2, marker: 'd/4' }), ['ä', 'é/x'])
  })

  t.test('a marker goes on behind a directory', async (t) => {
    t.same(await list(t, { delimiter: '/', marker: 'b/', limit: 3 }), ['b0', 'c', 'd/'])
    t.same(await list(t, { delimiter: '/', marker: 'd/' }), ['ä', 'é/', '😀'])
  })

  t.test('paging shows everything once, with any page size and delimiter', async (t) => {
    for (const delimiter of ['', '/']) {
      const whole = await list(t, { delimiter })
      for (const limit of [1, 2, 3, 7]) {
        const seen: string[] = []
        for (let marker = ''; ; marker = seen.at(-1) as string) {
          const page = await list(t, { delimiter, limit, marker })
          if (page.length === 0) break
          seen.push(...page)
        }
        t.same(seen, whole, `limit ${limit}, delimiter '${delimiter}'`)
      }
    }
  })

  t.test('reverse turns the order and the meaning of the markers round', async (t) => {
    t.same(await list(t, { reverse: 'true' }), [...names].reverse())
    t.same(await list(t, { reverse: 'on', marker: 'c', end_marker: 'b/1' }), ['b0', 'b/c/3', 'b/2'])
    t.same(await list(t, { reverse: 'true', delimiter: '/', limit: 4 }), ['😀', 'é/', 'ä', 'd/'])
  })

  t.test('a listing in JSON says what each object is', async (t) => {
    const [row] = (await ask('box?format=json&limit=1')).json
    t.match(row, {
      name: 'a',
      bytes: 1,
      hash: '0cc175b9c0f1b6a831c399e269772661',
      content_type: 'application/octet-stream',
      last_modified: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/,
    })
    t.same((await ask('box?format=json&delimiter=/&prefix=b&limit=1')).json, [{ subdir: 'b/' }])
  })

  t.test('a listing carries the headers of its container', async (t) => {
    const listed = await ask('box?format=json')
    t.match(listed.headers, {
      'x-container-object-count': String(names.length),
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(listed.body.length),
    })
  })

  t.test('too high a limit is 412, and one that is no number 400', async (t) => {
    t.match(await ask('box?limit=10001'), { status: 412, text: 'Maximum limit is 10000' })
    t.match(await ask('box?limit=many'), { status: 400, text: 'Invalid limit: many' })
  })

  t.test('an object that is deleted or replaced is listed as it is now', async (t) => {
    await ask('box/c', { method: 'DELETE' })
    await ask('box/a', { method: 'PUT', body: 'longer', headers: { 'content-type': 'x/y' } })
    const rows = (await ask('box?format=json')).json
    t.notOk(rows.some((row: { name: string }) => row.name === 'c'))
    t.match(rows[0], { name: 'a', bytes: 6, content_type: 'x/y' })
  })
})
