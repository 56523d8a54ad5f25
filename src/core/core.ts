/**
 * The unified model and its workflows: objects, images, snapshots, volumes and attachments are views of one resource.
 *
 * The doors (src/http) call these and nothing below. Every function that takes a `ProjectCaller` judges the caller's
 * project and roles itself: another project's things answer "not found", a `reader` may not change anything (NotAllowed).
 */

import type { Catalog } from '../catalog/catalog.js'
import type { Engine } from '../engine/engine.js'
import type { Logger } from '../lib/log.js'
import type { Accounts } from './accounts.js'
import type { Attachments } from './attachments.js'
import type { Containers } from './containers.js'
import type { Exports } from './exports.js'
import type { Identity } from './identity.js'
import type { Images } from './images.js'
import type { Objects } from './objects.js'
import type { Reaper } from './reaper.js'
import type { Sessions } from './sessions.js'
import type { Snapshots } from './snapshots.js'
import type { Tree } from './tree.js'
import type { Volumes } from './volumes.js'

export interface CoreParts {
  catalog: Catalog
  engine: Engine
  log: Logger
}

export interface Core {
  readonly identity: Identity
  readonly sessions: Sessions
  readonly accounts: Accounts
  readonly containers: Containers
  readonly objects: Objects
  readonly images: Images
  readonly volumes: Volumes
  readonly snapshots: Snapshots
  readonly attachments: Attachments
  readonly exports: Exports
  readonly tree: Tree
  readonly reaper: Reaper
  close(): Promise<void>
}
