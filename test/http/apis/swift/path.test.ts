import t from 'tap'
import { decodeText, parseObjectReference, parsePath } from '../../../../src/http/apis/swift/requests/path.js'
import { encodePath } from '../../../../src/http/apis/swift/urls.js'
import { refusal } from '../../../../testkit/refusal.js'

const path = (account: string, container?: string, object?: string) => ({ account, container, object })

t.test('a path names an account, a container or an object', async (t) => {
  t.same(parsePath('/v1/AUTH_a'), path('AUTH_a'))
  t.same(parsePath('/v1/AUTH_a/'), path('AUTH_a'))
  t.same(parsePath('/v1/AUTH_a/c'), path('AUTH_a', 'c'))
  t.same(parsePath('/v1/AUTH_a/c/?format=json'), path('AUTH_a', 'c'))
  t.same(parsePath('/v1/AUTH_a/c/o?x=/y/z'), path('AUTH_a', 'c', 'o'))
})

t.test('everything behind the container is the name of the object', async (t) => {
  t.same(parsePath('/v1/A/c/a/b/c.txt'), path('A', 'c', 'a/b/c.txt'))
  t.same(parsePath('/v1/A/c/a/'), path('A', 'c', 'a/'))
  t.same(parsePath('/v1/A/c//a//b'), path('A', 'c', '/a//b'))
  t.same(parsePath('/v1/A/c/../../etc/passwd'), path('A', 'c', '../../etc/passwd'))
  t.same(parsePath('/v1/A/c/.'), path('A', 'c', '.'))
})

t.test('the path is decoded before it is cut up', async (t) => {
  t.same(parsePath('/v1/A/c/a%2Fb'), path('A', 'c', 'a/b'))
  t.same(parsePath('/v1/A/c%2Fo'), path('A', 'c', 'o'))
  t.same(parsePath('/v1/A/c/100%25%20%3F%23%2B+'), path('A', 'c', '100% ?#++'))
  t.same(parsePath('/v1/A/%C3%A4/%E2%82%AC%F0%9F%98%80'), path('A', 'ä', '€😀'))
})

t.test('a stray per cent sign stands for itself', async (t) => {
  t.same(parsePath('/v1/A/c/50%'), path('A', 'c', '50%'))
  t.same(parsePath('/v1/A/c/%zz%4'), path('A', 'c', '%zz%4'))
})

t.test('names that are not UTF-8, or hold NUL, are refused', async (t) => {
  for (const url of ['/v1/A/c/%FF', '/v1/A/%C3/o', '/v1/A/c/a%00b', '/v1/A/c/%ED%A0%80']) {
    t.match(
      refusal(() => parsePath(url)),
      { status: 412, text: 'Invalid UTF8 or contains NULL' },
      url,
    )
  }
})

t.test('a path without an account, or with an object in no container, names nothing', async (t) => {
  for (const url of ['/v1', '/v1/', '/v1//c', '/v1/A//o'])
    t.match(
      refusal(() => parsePath(url)),
      { status: 412 },
      url,
    )
})

t.test('an encoded name comes back as it was', async (t) => {
  for (const name of ['a b', 'ä/€/😀', '100%', 'a+b&c=d?e#f', '//x', "it's"]) {
    t.equal(decodeText(encodePath(name)), name)
  }
})

t.test('a reference to an object may begin with a slash', async (t) => {
  t.same(parseObjectReference('/c/o/p', 'Destination'), { container: 'c', object: 'o/p' })
  t.same(parseObjectReference('c/o%20p', 'Destination'), { container: 'c', object: 'o p' })
  for (const header of ['', '/', 'c', 'c/', '/c', '//o']) {
    t.match(
      refusal(() => parseObjectReference(header, 'Destination')),
      {
        status: 412,
        text: 'Destination header must be of the form <container name>/<object name>',
      },
    )
  }
})
