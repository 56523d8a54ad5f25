/**
 * All schemas there ever were, in order. The schema's version is how many of them have run.
 *
 * A migration runs in one transaction with the new version number: it is there as a whole or not at all.
 */

import type { Kysely } from 'kysely'
import { initial } from './0001_initial.js'
import { unknownSha256 } from './0002_unknown_sha256.js'
import { snapshotsByName } from './0003_snapshots_by_name.js'
import { storeIdentity } from './0004_store_identity.js'
import { blockUsage } from './0005_block_usage.js'
import { revocation } from './0006_revocation.js'
import { viewsOfOneResource } from './0007_views_of_one_resource.js'
import { jobsAndTwins } from './0008_jobs_and_twins.js'
import { imageMembers } from './0009_image_members.js'
import { indirections } from './0010_indirections.js'
import { identity } from './0011_identity.js'

export type Migration = (db: Kysely<unknown>) => Promise<void>

export const migrations: readonly Migration[] = [
  initial,
  unknownSha256,
  snapshotsByName,
  storeIdentity,
  blockUsage,
  revocation,
  viewsOfOneResource,
  jobsAndTwins,
  imageMembers,
  indirections,
  identity,
]
