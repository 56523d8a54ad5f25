/**
 * The floors of the house, as rules on imports (docs/internals/architecture.md draws them).
 *
 *   native/  base → io → store → engine → nbd → node; sim/ and fuzz/ may use the floors below node, fuzz/ also sim/, and tests use both;
 *            no floor uses those. attach/ is a program of its own. Includes are written from native/: "io/loop.h".
 *   src/     lib → engine | catalog → core → http → cli. The folders of the APIs in http do not know each other.
 *
 * A file imports only from its own floor or from one below it. Some things from outside live on one floor only.
 * `scripts/check-floors` runs this over the checkout, test/scripts/floors.test.ts over sources that break the rules.
 *
 * @typedef {{ path: string, line: number, message: string }} Violation
 */

import ts from 'typescript'

const nativeFloors = ['base', 'io', 'store', 'engine', 'nbd', 'node']
const besideNative = ['sim', 'fuzz', 'test']
/** Programs of their own, which nothing else includes. */
const programs = ['attach']

/** Folders of one number are siblings. */
const srcFloors = new Map([
  ['lib', 0],
  ['engine', 1],
  ['catalog', 1],
  ['core', 2],
  ['http', 3],
  ['cli', 4],
])

/** What comes from outside, and the one native folder that may include it. */
const nativeGuests = [
  { what: /^(napi|node_api|js_native_api)\.h$/, floor: 'node' },
  { what: /^rocksdb\//, floor: 'store' },
  { what: /^liburing(\.h|\/)/, floor: 'io' },
]

const srcGuests = [
  { what: /^better-sqlite3$/, floor: 'catalog' },
  { what: /^(fastify|@fastify\/.*)$/, floor: 'http' },
  { what: /^commander$/, floor: 'cli' },
]

/** Past this, look for the second thing inside. */
export const maxLines = 600

/**
 * @param {Iterable<[path: string, text: string]>} files paths from the root of the checkout, with `/`
 * @returns {Violation[]}
 */
export function findViolations(files) {
  /** @type {Violation[]} */
  const found = []
  for (const [path, text] of files) {
    const lines = text.split('\n').length - 1
    if (/\.(cc|h|ts|js)$/.test(path) && lines > maxLines)
      found.push({ path, line: lines, message: `${lines} lines; the limit is ${maxLines}` })
    if (/^native\/.*\.(cc|h)$/.test(path)) found.push(...inNative(path, text))
    else if (/^src\/.*\.ts$/.test(path)) found.push(...inSrc(path, text))
  }
  return found
}

/**
 * @param {string} path
 * @param {string} text
 * @returns {Violation[]}
 */
function inNative(path, text) {
  const from = path.split('/')[1] ?? ''
  if (!nativeFloors.includes(from) && !besideNative.includes(from) && !programs.includes(from))
    return [
      {
        path,
        line: 1,
        message: `native/${from} is no floor; they are ${[...nativeFloors, ...besideNative].join(', ')}`,
      },
    ]

  /** @type {Violation[]} */
  const found = []
  for (const [at, line] of text.split('\n').entries()) {
    const include = /^\s*#\s*include\s*(["<])([^">]+)[">]/.exec(line)
    if (include === null) continue
    const [, mark, name] = /** @type {string[]} */ (/** @type {unknown} */ (include))
    const message = mark === '"' ? judgeOwnInclude(from, name ?? '') : judgeGuestInclude(from, name ?? '')
    if (message !== undefined) found.push({ path, line: at + 1, message })
  }
  return found
}

/**
 * @param {string} from
 * @param {string} name
 */
function judgeOwnInclude(from, name) {
  const to = name.includes('/') ? (name.split('/')[0] ?? '') : ''
  // The parts of a program are tested like everything else.
  if (from === 'test' && programs.includes(to)) return undefined
  if (!nativeFloors.includes(to) && !besideNative.includes(to) && from !== to) {
    return judgeGuestInclude(from, name) ?? `"${name}": includes are written from native/, like "base/result.h"`
  }
  if (from === 'test') return to === 'node' ? `a test program without Node cannot include ${name}` : undefined
  if (from === to) return undefined
  if (programs.includes(from)) return ['base', 'nbd'].includes(to) ? undefined : `${from} includes ${name}`
  if (from === 'fuzz' && to === 'sim') return undefined
  if (besideNative.includes(to)) return `${from} includes ${name}, which is there for tests only`
  if (besideNative.includes(from)) return to === 'node' ? `${from} includes ${name}` : undefined
  if (nativeFloors.indexOf(to) > nativeFloors.indexOf(from)) return `${from} includes ${name}, from a floor above it`
  return undefined
}

/**
 * @param {string} from
 * @param {string} name
 */
function judgeGuestInclude(from, name) {
  const guest = nativeGuests.find((each) => each.what.test(name))
  if (guest === undefined || guest.floor === from || from === 'test') return undefined
  return `${from} includes ${name}: only ${guest.floor} may`
}

/**
 * @param {string} path
 * @param {string} text
 * @returns {Violation[]}
 */
function inSrc(path, text) {
  const [, from = '', part = ''] = path.split('/')
  const floor = srcFloors.get(from)
  if (floor === undefined)
    return [{ path, line: 1, message: `src/${from} is no floor; they are ${[...srcFloors.keys()].join(', ')}` }]

  /** @type {Violation[]} */
  const found = []
  for (const { fileName: name, pos } of ts.preProcessFile(text, true, true).importedFiles) {
    const message = name.startsWith('.')
      ? judgeOwnImport(path, { from, part, floor }, name)
      : judgeGuestImport(from, name)
    if (message !== undefined) found.push({ path, line: text.slice(0, pos).split('\n').length, message })
  }
  return found
}

/**
 * @param {string} path
 * @param {{ from: string, part: string, floor: number }} importer
 * @param {string} name
 */
function judgeOwnImport(path, { from, part, floor }, name) {
  const target = new URL(name, `file:///${path}`).pathname.slice(1)
  const [top, to = '', toPart = '', rest] = target.split('/')
  if (top !== 'src') return target === 'package.json' ? undefined : `src imports ${target}`
  const toFloor = srcFloors.get(to)
  if (toFloor === undefined) return `src imports ${target}, which is on no floor`
  if (toFloor > floor) return `${from} imports ${target}, from a floor above it`
  if (toFloor === floor && to !== from) return `${from} imports ${target}, from its sibling`
  if (target === 'src/engine/native.js' && from !== 'engine')
    return `only engine may import ${target}: it is the raw addon`
  const isSibling = from === 'http' && to === 'http' && rest !== undefined && toPart !== part && !part.endsWith('.ts')
  return isSibling ? `http/${part} imports ${target}, from its sibling` : undefined
}

/**
 * @param {string} from
 * @param {string} name
 */
function judgeGuestImport(from, name) {
  const guest = srcGuests.find((each) => each.what.test(name))
  if (guest === undefined || guest.floor === from) return undefined
  return `${from} imports ${name}: only ${guest.floor} may`
}
