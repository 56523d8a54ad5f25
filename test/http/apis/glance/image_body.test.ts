import t from 'tap'
import { parseNewImage } from '../../../../src/http/apis/glance/requests/image_body.js'
import { imageSchema } from '../../../../src/http/apis/glance/responses/schemas.js'

t.test('known members become members, unknown ones become properties', async (t) => {
  const body = { name: 'n', min_disk: 3, tags: ['a', 'a'], os_hidden: true, disk_format: null, colour: 'red' }
  t.match(parseNewImage(body).image, {
    name: 'n',
    minDiskGib: 3,
    tags: ['a'],
    hidden: true,
    diskFormat: null,
    properties: { colour: 'red' },
  })
})

t.test('what the server sets is refused with 403', async (t) => {
  for (const name of ['status', 'checksum', 'size', 'created_at', 'self', 'file', 'schema', 'direct_url', 'stores'])
    t.throws(() => parseNewImage({ [name]: 'x' }), { name: 'GlanceFault', statusCode: 403 }, name)
  for (const name of ['location', 'deleted', 'deleted_at', 'os_glance_stage_host'])
    t.throws(() => parseNewImage({ [name]: 'x' }), /reserved/, name)
})

t.test('a value of the wrong kind is refused, and the message says what it must be', async (t) => {
  t.throws(() => parseNewImage({ disk_format: 'floppy' }), /disk_format is "floppy": it must be one of 'ami'/)
  t.throws(() => parseNewImage({ name: 7 }), /name is 7: it must be a string of at most 255 characters or null/)
  t.throws(() => parseNewImage({ min_ram: -1 }), /it must be an integer from 0 to 2147483647/)
  t.throws(() => parseNewImage({ id: 'x' }), /it must be a UUID/)
  t.throws(() => parseNewImage({ colour: 7 }), /schema 'image': colour/)
  t.throws(() => parseNewImage({ tags: 'x' }), { name: 'GlanceFault', statusCode: 400 })
  t.throws(() => parseNewImage({ locations: [{ url: 'x' }] }), { name: 'GlanceFault', statusCode: 400 })
  t.throws(() => parseNewImage([]), { name: 'GlanceFault', statusCode: 400 })
})

t.test('there is an end to the length of the names and values of properties', async (t) => {
  t.throws(() => parseNewImage({ a: 'x'.repeat(65_536) }), { name: 'GlanceFault', statusCode: 400 })
  t.throws(() => parseNewImage({ ['x'.repeat(256)]: 'x' }), { name: 'GlanceFault', statusCode: 400 })
})

t.test('a property named like a member of all objects is only a name', async (t) => {
  const image = parseNewImage(JSON.parse('{"__proto__": "x", "constructor": "y", "toString": "z"}')).image
  t.same(Object.keys(image.properties ?? {}).sort(), ['__proto__', 'constructor', 'toString'])
})

t.test('the served schema says what is judged', async (t) => {
  const schema = imageSchema() as { properties: Record<string, { enum?: unknown[]; type: unknown }> }
  t.match(schema.properties['disk_format'], { type: ['null', 'string'] })
  t.equal(schema.properties['disk_format']?.enum?.[0], null)
  t.same(schema.properties['protected']?.type, 'boolean')
})
