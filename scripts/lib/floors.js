/**
 * The floors of the source tree, as rules on imports. docs/internals/architecture.md draws them.
 *
 * A floor is a list of rooms; a room is a folder, or a file where one folder holds two floors. A file imports from its own
 * room and from rooms on lower floors, never from a room on its own floor. Some libraries belong to one folder only.
 * Includes of native code are written from native/: "io/loop.h".
 *
 * `scripts/check-floors` applies these rules to the checkout, test/scripts/floors.test.ts to sources that break them.
 *
 * @typedef {{ path: string, line: number, message: string }} Violation
 */

import ts from 'typescript'

/** Rooms of src/, lowest floor first. A path belongs to the room with the longest name that it starts with. */
const srcFloors = [
  ['lib'],
  ['addon'],
  ['catalog/errors', 'catalog/schema'],
  ['catalog/types', 'catalog/migrations'],
  ['catalog/prepared', 'catalog/migrate'],
  ['catalog/sqlite', 'catalog/postgres'],
  ['engine', 'catalog'],
  ['core/model'],
  ['core/directory', 'core/lists', 'core/policy', 'core/tree'],
  ['core/exports', 'core/formats', 'core/health', 'core/identity', 'core/jobs', 'core/objects'],
  ['core/views'],
  ['core/images', 'core/volumes'],
  ['core/conversions'],
  ['core'],
  ['http/shared'],
  ['http/apis/keystone', 'http/apis/swift', 'http/apis/glance', 'http/apis/cinder'],
  ['http'],
  ['server/metrics', 'server/settings'],
  ['server/serving'],
  ['server'],
  ['cli'],
]

/** Rooms inside each folder of http/apis, lowest floor first. */
const apiFloors = [
  ['errors'],
  [
    'backend',
    'header_text',
    'image_fields',
    'limits',
    'media_types',
    'microversion',
    'request_id',
    'urls',
    'volume_type',
  ],
  ['unsupported'],
  ['requests', 'responses'],
  ['routes'],
  ['plugin'],
]

/** Rooms of native/, lowest floor first. */
const nativeFloors = [
  ['base'],
  ['io'],
  ['store'],
  ['store/records', 'store/dirty_log'],
  ['store/local'],
  ['engine/block_device'],
  ['engine/resource'],
  ['engine/space'],
  ['engine/uploads', 'engine/health'],
  ['engine'],
  ['nbd/protocol'],
  ['nbd/tls'],
  ['nbd/server'],
  ['node'],
  ['node/objects'],
  ['node/addon'],
]
/** They use every native floor below node; fuzz also uses sim, test uses both. */
const besideNative = ['sim', 'fuzz', 'test']
/** Programs of their own, which no floor includes, and the rooms that each may include. */
const programs = new Map([['attach', ['base', 'nbd/protocol']]])

/** Libraries, and the one native folder that may include each. */
const nativeLibraries = [
  { what: /^(napi|node_api|js_native_api)\.h$/, folder: 'node' },
  { what: /^rocksdb\//, folder: 'store' },
  { what: /^liburing(\.h|\/)/, folder: 'io' },
]

/** Packages, and the one folder of src/ that may import each. */
const srcPackages = [
  { what: /^better-sqlite3$/, folder: 'catalog/sqlite' },
  { what: /^(pg|pg-connection-string)$/, folder: 'catalog/postgres' },
  { what: /^(fastify|@fastify\/.*)$/, folder: 'http' },
  { what: /^commander$/, folder: 'cli' },
]

/** A longer file probably holds a second subject. */
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
    else if (/\.(ts|js)$/.test(path)) found.push(...inTypeScript(path, text))
  }
  return found
}

/**
 * The room of a path without its extension, and its floor.
 * @param {string[][]} floors
 * @param {string} path below src/ or native/
 * @returns {{ room: string, floor: number } | undefined} undefined if no room holds the path
 */
function roomOf(floors, path) {
  const name = path.replace(/\.\w+$/, '')
  let best
  for (const [floor, rooms] of floors.entries())
    for (const room of rooms)
      if ((name === room || name.startsWith(`${room}/`)) && room.length > (best?.room.length ?? 0))
        best = { room, floor }
  return best
}

/**
 * What is wrong with an import of `to` by `from`, both below src/ or native/; undefined if nothing is.
 * @param {string[][]} floors
 * @param {string} from
 * @param {string} to
 * @param {string} shown how the message names `to`
 * @param {string} verb
 */
function checkRooms(floors, from, to, shown, verb) {
  const importer = roomOf(floors, from)
  const imported = roomOf(floors, to)
  if (importer === undefined) return undefined // reported once for the file
  if (imported === undefined) return `${importer.room} ${verb} ${shown}, which is on no floor`
  if (imported.floor > importer.floor) return `${importer.room} ${verb} ${shown}, from a floor above it`
  if (imported.floor === importer.floor && imported.room !== importer.room)
    return `${importer.room} ${verb} ${shown}, from its sibling`
  return undefined
}

/**
 * @param {string} path
 * @param {string} text
 * @returns {Violation[]}
 */
function inNative(path, text) {
  const inside = path.slice('native/'.length)
  const top = inside.split('/')[0] ?? ''
  const known = besideNative.includes(top) || programs.has(top) || roomOf(nativeFloors, inside) !== undefined
  if (!known) return [{ path, line: 1, message: `${path} is on no floor (scripts/lib/floors.js lists them)` }]

  /** @type {Violation[]} */
  const found = []
  for (const [at, line] of text.split('\n').entries()) {
    const include = /^\s*#\s*include\s*(["<])([^">]+)[">]/.exec(line)
    if (include === null) continue
    const [, mark, name = ''] = include
    const message = (mark === '"' ? checkOwnInclude(inside, name) : undefined) ?? checkLibraryInclude(top, name)
    if (message !== undefined) found.push({ path, line: at + 1, message })
  }
  return found
}

/**
 * @param {string} from below native/
 * @param {string} name
 */
function checkOwnInclude(from, name) {
  const top = from.split('/')[0] ?? ''
  const to = name.includes('/') ? (name.split('/')[0] ?? '') : ''
  if (top === to && (besideNative.includes(to) || programs.has(to))) return undefined
  if (programs.has(to)) return top === 'test' ? undefined : `${top} includes ${name}, which is part of a program`
  if (besideNative.includes(to)) {
    const allowed = top === 'test' || (top === 'fuzz' && to === 'sim')
    return allowed ? undefined : `${top} includes ${name}, which is there for tests only`
  }
  const room = roomOf(nativeFloors, name)?.room
  if (to === '' || room === undefined) {
    if (nativeLibraries.some((each) => each.what.test(name))) return undefined // checked as a library
    return `"${name}": includes are written from native/, like "base/result.h"`
  }
  if (besideNative.includes(top)) return to === 'node' ? `${top} includes ${name}` : undefined
  const allowed = programs.get(top)
  if (allowed !== undefined) return allowed.includes(room) ? undefined : `${top} includes ${name}`
  return checkRooms(nativeFloors, from, name, name, 'includes')
}

/**
 * @param {string} top the folder in native/
 * @param {string} name
 */
function checkLibraryInclude(top, name) {
  const library = nativeLibraries.find((each) => each.what.test(name))
  if (library === undefined || library.folder === top || top === 'test') return undefined
  return `${top} includes ${name}: only ${library.folder} may`
}

/**
 * @param {string} path
 * @param {string} text
 * @returns {Violation[]}
 */
function inTypeScript(path, text) {
  const inSrc = path.startsWith('src/')
  const inApi = /^src\/http\/apis\/\w+\/(.+)/.exec(path)?.[1]
  if (inSrc && (!roomOf(srcFloors, path.slice('src/'.length)) || (inApi && !roomOf(apiFloors, inApi))))
    return [{ path, line: 1, message: `${path} is on no floor (scripts/lib/floors.js lists them)` }]

  /** @type {Violation[]} */
  const found = []
  for (const { fileName: name, pos } of ts.preProcessFile(text, true, true).importedFiles) {
    const own = name.startsWith('.')
    const target = own ? new URL(name, `file:///${path}`).pathname.slice(1) : name
    const message = inSrc
      ? own
        ? checkOwnImport(path, target)
        : checkPackageImport(path, name)
      : own && target.startsWith('test/') && !path.startsWith('test/')
        ? `${path.split('/')[0]} imports ${target}: only tests may`
        : undefined
    if (message !== undefined) found.push({ path, line: text.slice(0, pos).split('\n').length, message })
  }
  return found
}

/**
 * @param {string} path below src/
 * @param {string} target from the root of the checkout
 */
function checkOwnImport(path, target) {
  if (target === 'package.json') return undefined
  if (!target.startsWith('src/')) return `src imports ${target}`
  const inside = path.slice('src/'.length)
  const contract = target.startsWith('src/addon/contract')
  if (contract && !/^(addon|engine)\//.test(inside))
    return `only engine may import ${target}: these are the types of the raw addon`
  const to = target.slice('src/'.length)
  return checkRooms(srcFloors, inside, to, target, 'imports') ?? checkInsideApi(inside, to, target)
}

/**
 * @param {string} from below src/
 * @param {string} to
 * @param {string} shown
 */
function checkInsideApi(from, to, shown) {
  const [importer, imported] = [from, to].map((path) => /^http\/apis\/(\w+)\/(.+)/.exec(path))
  if (!importer?.[2] || !imported?.[2] || importer[1] !== imported[1]) return undefined
  return checkRooms(apiFloors, importer[2], imported[2], shown, 'imports')
}

/**
 * @param {string} path below src/
 * @param {string} name
 */
function checkPackageImport(path, name) {
  const folder = path.split('/')[1]
  const owner = srcPackages.find((each) => each.what.test(name))
  if (owner === undefined || path.startsWith(`src/${owner.folder}/`)) return undefined
  return `${folder} imports ${name}: only ${owner.folder} may`
}
