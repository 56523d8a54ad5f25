/**
 * The unified model and its workflows: objects, images, snapshots, volumes and attachments are views of one resource.
 *
 * The doors (src/http) call these and nothing below. Every function that takes a `ProjectCaller` judges the caller's
 * project and roles itself: another project's things answer "not found", a `reader` may not change anything (NotAllowed).
 */

import type { Catalog } from '../catalog/catalog.js'
import type { Engine } from '../engine/engine.js'
import { asError } from '../lib/errors.js'
import type { ResourceId } from '../lib/ids.js'
import type { Logger } from '../lib/log.js'
import { KeyedMutex } from '../lib/mutex.js'
import { Access } from './objects/access.js'
import { Accounts } from './objects/accounts.js'
import { Attachments } from './volumes/attachments.js'
import { Connections } from './volumes/connections.js'
import { Containers } from './objects/containers.js'
import { Contents } from './objects/contents.js'
import { CatalogOlder } from './model/errors.js'
import { Expiry } from './objects/expiry.js'
import { Exports } from './exports/exports.js'
import { GracePeriods } from './tree/grace.js'
import { ImageSources } from './conversions/image_sources.js'
import { ImageTwins } from './conversions/image_twins.js'
import { VolumeSources } from './conversions/volume_sources.js'
import { Identity } from './identity/identity.js'
import { ImageMembers } from './images/image_members.js'
import { Images } from './images/images.js'
import { LayerIds } from './tree/layer_ids.js'
import { Objects } from './objects/objects.js'
import { Passwords } from './identity/passwords.js'
import { Reaper } from './tree/reaper.js'
import { RightsWatch } from './policy/rights_watch.js'
import { Scrub, type ScrubSettings } from './health/scrub.js'
import { Sessions } from './identity/sessions.js'
import { Snapshots } from './volumes/snapshots.js'
import { settle, sweep } from './tree/sweep.js'
import { Tree } from './tree/tree.js'
import { Volumes } from './volumes/volumes.js'

export interface CoreParts {
  catalog: Catalog
  engine: Engine
  log: Logger
  scrub: ScrubSettings & { statePath: string }
}

const purgeEveryMs = 3600_000

export class Core {
  readonly identity: Identity
  readonly sessions: Sessions
  readonly accounts: Accounts
  /** Who else may use an account: by access lists and signed URLs. */
  readonly access: Access
  readonly containers: Containers
  readonly objects: Objects
  /** What objects read as: links and large objects resolved. */
  readonly contents: Contents
  readonly expiry: Expiry
  readonly images: Images
  readonly imageMembers: ImageMembers
  readonly volumes: Volumes
  readonly snapshots: Snapshots
  /** Images of objects, snapshots and volumes. */
  readonly imageSources: ImageSources
  /** Volumes of images, snapshots and volumes, and blank ones. */
  readonly volumeSources: VolumeSources
  /** Conversions of images whose format is no disk as it is. */
  readonly twins: ImageTwins
  readonly attachments: Attachments
  /** The older way of attaching. */
  readonly connections: Connections
  /** Ends what is under way when the rights to it end. */
  readonly rights: RightsWatch
  /** For the NBD doors. */
  readonly exports: Exports
  /** Below the services; not for the HTTP doors. */
  readonly tree: Tree
  readonly reaper: Reaper
  readonly scrub: Scrub
  readonly engine: Engine
  readonly catalog: Catalog
  readonly #log: Logger
  readonly #layerIds: LayerIds
  #sweeping: Promise<void> | undefined
  #purge: NodeJS.Timeout | undefined

  private constructor({ catalog, engine, log, scrub }: CoreParts, layerIds: LayerIds) {
    const grace = new GracePeriods()
    const locks = new KeyedMutex<ResourceId>()
    const passwords = new Passwords()
    this.catalog = catalog
    this.engine = engine
    this.#log = log
    this.#layerIds = layerIds
    this.reaper = new Reaper({ catalog, engine, log, grace, locks })
    this.scrub = new Scrub({ catalog, engine, log, ...scrub })
    const consider: Reaper['consider'] = (layer, deleted) => this.reaper.consider(layer, deleted)
    this.tree = new Tree({ catalog, engine, log, grace, locks, layerIds, consider })
    this.rights = new RightsWatch({ catalog, log })
    this.exports = new Exports({ catalog, engine, tree: this.tree, log, rights: this.rights })
    const parts = { catalog, tree: this.tree, exports: this.exports }
    this.identity = new Identity(catalog, passwords)
    this.sessions = new Sessions(catalog, passwords)
    this.accounts = new Accounts(catalog)
    this.access = new Access(catalog)
    this.containers = new Containers(catalog)
    this.objects = new Objects(catalog, this.tree)
    this.contents = new Contents({ catalog, tree: this.tree, objects: this.objects })
    this.expiry = new Expiry({ catalog, objects: this.objects, log })
    this.images = new Images(parts)
    this.imageMembers = new ImageMembers(catalog)
    this.volumes = new Volumes(parts)
    this.snapshots = new Snapshots(parts)
    this.imageSources = new ImageSources(parts)
    this.twins = new ImageTwins({ ...parts, engine, log })
    this.volumeSources = new VolumeSources({ ...parts, volumes: this.volumes, twins: this.twins })
    this.attachments = new Attachments(parts)
    this.connections = new Connections(parts)
  }

  /** What an interrupted run left in the middle of something is settled when it resolves; nobody was served before. */
  /** Throws CatalogOlder. */
  static async open(parts: CoreParts): Promise<Core> {
    await settle(parts.catalog)
    const layerIds = await LayerIds.open(parts.catalog)
    // Numbers are durable before they are used. New layers would get the numbers, and so the records, of those that are there.
    if (await parts.engine.layers.hasFrom(layerIds.firstOfRun))
      throw new CatalogOlder('the store has layers that it never gave out')
    return new Core(parts, layerIds)
  }

  /** Begins the work beside the service: the sweep, the purge of expired tokens, and the scrub. */
  startBackground(): void {
    this.#sweeping ??= this.#sweep()
    this.#purge ??= setInterval(() => void this.#purgeTokens(), purgeEveryMs).unref()
    this.twins.start()
    this.scrub.start()
    this.expiry.start()
  }

  /** Resolves when the sweep has found all there is, and the reaper has freed it (for tests, and for `du`). */
  async settled(): Promise<void> {
    await this.#sweeping
    await this.reaper.idle()
    await this.engine.health.reclaimed()
  }

  /** Ends the background work. The engine and the catalog are closed by the one who opened them. */
  async close(): Promise<void> {
    clearInterval(this.#purge)
    await Promise.all([this.rights.stop(), this.expiry.stop(), this.twins.stop()])
    await Promise.all([this.reaper.stop(), this.scrub.stop()])
    await this.#sweeping
  }

  async #sweep(): Promise<void> {
    const { catalog, engine, reaper } = this
    try {
      await sweep({ catalog, engine, reaper, layerIds: this.#layerIds, log: this.#log })
    } catch (error) {
      this.#log.error({ err: asError(error) }, 'the sweep of orphans failed; it is done again at the next start')
    }
    await this.#purgeTokens()
  }

  async #purgeTokens(): Promise<void> {
    try {
      await this.sessions.purge()
    } catch (error) {
      this.#log.error({ err: asError(error) }, 'expired tokens could not be purged')
    }
  }
}
