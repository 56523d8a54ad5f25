import t from 'tap'
import { findViolations, maxLines } from '../../scripts/lib/floors.js'

/** What the check says about one file. */
function judge(path: string, ...lines: string[]): string[] {
  return findViolations([[path, `${lines.join('\n')}\n`]]).map((found) => `${found.line}: ${found.message}`)
}

t.test('native: a floor includes from itself and from below', async (t) => {
  t.same(judge('native/store/local.cc', '#include "store/kv.h"', '#include "io/loop.h"', '#include <vector>'), [])
  t.same(
    judge('native/store/local/local_io.cc', '#include "store/records/region_record.h"', '#include "store/kv.h"'),
    [],
  )
})

t.test('native: rooms of one folder are floors and siblings too', async (t) => {
  t.same(judge('native/store/kv.h', '#include "store/local/rocks_kv.h"'), [
    '1: store includes store/local/rocks_kv.h, from a floor above it',
  ])
  t.same(judge('native/store/records/record_store.cc', '#include "store/dirty_log/dirty_log.h"'), [
    '1: store/records includes store/dirty_log/dirty_log.h, from its sibling',
  ])
})

t.test('native: a floor does not include from above', async (t) => {
  t.same(judge('native/io/loop.h', '#pragma once', '  #  include "engine/engine.h"'), [
    '2: io includes engine/engine.h, from a floor above it',
  ])
})

t.test('native: no floor includes what is there for tests', async (t) => {
  for (const name of ['sim/disk.h', 'test/disk.h', 'fuzz/bytes.h'])
    t.same(judge('native/store/local.cc', `#include "${name}"`), [
      `1: store includes ${name}, which is there for tests only`,
    ])
  t.same(judge('native/sim/disk.cc', '#include "store/data_store.h"', '#include "sim/power.h"'), [])
  t.same(
    judge('native/test/disk.cc', '#include "sim/disk.h"', '#include "nbd/server.h"', '#include <rocksdb/db.h>'),
    [],
  )
})

t.test('native: a program is known to the tests, and to no floor', async (t) => {
  t.same(judge('native/test/uri.cc', '#include "attach/uri.h"'), [])
  t.equal(judge('native/nbd/server/server.cc', '#include "attach/uri.h"').length, 1)
})

t.test('native: the simulation and the tests stay clear of Node', async (t) => {
  t.equal(judge('native/sim/disk.cc', '#include "node/host.h"').length, 1)
  t.equal(judge('native/test/disk.cc', '#include "node/host.h"').length, 1)
})

t.test('native: Node, RocksDB and io_uring are each known to one floor', async (t) => {
  t.same(judge('native/node/addon.cc', '#include <napi.h>'), [])
  t.same(judge('native/engine/engine.cc', '#include <napi.h>'), ['1: engine includes napi.h: only node may'])
  t.same(judge('native/engine/engine.cc', '#include "napi.h"'), ['1: engine includes napi.h: only node may'])
  t.same(judge('native/engine/engine.cc', '#include <rocksdb/db.h>'), [
    '1: engine includes rocksdb/db.h: only store may',
  ])
  t.same(judge('native/store/local.cc', '#include <liburing.h>'), ['1: store includes liburing.h: only io may'])
})

t.test('native: includes are written from native/, and every folder is a floor', async (t) => {
  t.equal(judge('native/store/local.cc', '#include "kv.h"').length, 1)
  t.equal(judge('native/store/local.cc', '#include "../io/loop.h"').length, 1)
  t.equal(judge('native/misc/things.cc', '#include "base/result.h"').length, 1)
})

t.test('src: a floor imports from itself and from below', async (t) => {
  t.same(
    judge('src/core/volumes/volumes.ts', `import { x } from '../../lib/x.js'`, `import type { Y } from './y.js'`),
    [],
  )
  t.same(judge('src/lib/x.ts', `import pkg from '../../package.json' with { type: 'json' }`), [])
})

t.test('src: a floor does not import from above, by whatever kind of import', async (t) => {
  const message = '1: catalog imports src/core/core.js, from a floor above it'
  for (const line of [
    `import { core } from '../core/core.js'`,
    `import type { Core } from '../core/core.js'`,
    `import '../core/core.js'`,
    `export * from '../core/core.js'`,
    `const core = await import('../core/core.js')`,
    `let core: import('../core/core.js').Core`,
  ])
    t.same(judge('src/catalog/layers.ts', line), [message], line)
})

t.test('src: siblings do not import each other', async (t) => {
  t.same(judge('src/engine/engine.ts', `import '../catalog/catalog.js'`), [
    '1: engine imports src/catalog/catalog.js, from its sibling',
  ])
  t.same(judge('src/http/apis/swift/routes/put.ts', '', `import '../../glance/errors.js'`), [
    '2: http/apis/swift imports src/http/apis/glance/errors.js, from its sibling',
  ])
  t.same(judge('src/http/apis/swift/routes/put.ts', `import '../../../shared/body.js'`, `import '../limits.js'`), [])
  t.same(judge('src/http/app.ts', `import './apis/swift/plugin.js'`), [])
  t.same(judge('src/http/shared/body.ts', `import '../apis/swift/path.js'`), [
    '1: http/shared imports src/http/apis/swift/path.js, from a floor above it',
  ])
})

t.test('src: rooms of core and of the catalog are floors and siblings too', async (t) => {
  t.same(judge('src/core/conversions/image_sources.ts', `import '../images/image_data.js'`), [])
  t.same(judge('src/core/core.ts', `import './conversions/image_sources.js'`), [])
  t.same(judge('src/core/images/images.ts', `import '../volumes/volumes.js'`), [
    '1: core/images imports src/core/volumes/volumes.js, from its sibling',
  ])
  t.same(judge('src/core/tree/tree.ts', `import type { Objects } from '../objects/objects.js'`), [
    '1: core/tree imports src/core/objects/objects.js, from a floor above it',
  ])
  t.same(judge('src/core/identity/admin.ts', `import type { Core } from '../core.js'`), [
    '1: core/identity imports src/core/core.js, from a floor above it',
  ])
  t.same(judge('src/catalog/sqlite/group_commit.ts', `import '../types.js'`), [])
  t.same(judge('src/catalog/sqlite/group_commit.ts', `import '../catalog.js'`), [
    '1: catalog/sqlite imports src/catalog/catalog.js, from a floor above it',
  ])
})

t.test('src: every API has the same floors inside', async (t) => {
  const inRoutes = ["import '../plugin.js'", "import '../requests/body.js'", "import '../../../shared/errors.js'"]
  t.same(judge('src/http/apis/cinder/routes/volumes.ts', ...inRoutes), [
    '1: routes imports src/http/apis/cinder/plugin.js, from a floor above it',
  ])
  t.same(judge('src/http/apis/swift/requests/metadata.ts', "import '../responses/metadata.js'"), [
    '1: requests imports src/http/apis/swift/responses/metadata.js, from its sibling',
  ])
  t.same(judge('src/http/apis/swift/errors.ts', "import '../glance/errors.js'"), [
    '1: http/apis/swift imports src/http/apis/glance/errors.js, from its sibling',
  ])
  t.same(judge('src/http/apis/swift/parsers.ts'), [
    '1: src/http/apis/swift/parsers.ts is on no floor (scripts/lib/floors.js lists them)',
  ])
})

t.test('src: the addon, SQL, HTTP and the command line are each known to one floor', async (t) => {
  t.equal(judge('src/core/core.ts', `import type { NativeEngine } from '../addon/contract.js'`).length, 1)
  t.same(judge('src/core/core.ts', `import Database from 'better-sqlite3'`), [
    '1: core imports better-sqlite3: only catalog/sqlite may',
  ])
  t.same(judge('src/catalog/catalog.ts', `import pg from 'pg'`), ['1: catalog imports pg: only catalog/postgres may'])
  t.equal(judge('src/core/core.ts', `import type { FastifyRequest } from 'fastify'`).length, 1)
  t.equal(judge('src/core/core.ts', `import { Command } from 'commander'`).length, 1)
})

t.test('src: imports nothing that is not on a floor', async (t) => {
  t.equal(judge('src/core/core.ts', `import '../support/things.js'`).length, 1)
  t.equal(judge('src/core/core.ts', `import '../misc/things.js'`).length, 1)
  t.equal(judge('src/misc/things.ts', `import 'node:fs'`).length, 1)
})

t.test('only tests import from test/', async (t) => {
  t.same(judge('testkit/api.ts', `import '../test/e2e/things.js'`), [
    '1: testkit imports test/e2e/things.js: only tests may',
  ])
  t.same(judge('test/e2e/volumes.test.ts', `import './things.js'`, `import '../../testkit/api.js'`), [])
})

t.test('a file that nobody reads at a sitting is against the rules', async (t) => {
  t.same(judge('src/lib/short.ts', ...Array(maxLines).fill('//')), [])
  t.same(judge('src/lib/long.ts', ...Array(maxLines + 1).fill('//')), [
    `${maxLines + 1}: ${maxLines + 1} lines; the limit is ${maxLines}`,
  ])
})
