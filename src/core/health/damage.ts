/**
 * Every kind of damage that check can tell: how bad it is, what it says, and what can be done. docs/internals/reliability.md shows this
 * table; test/core/health/check.test.ts makes each of them and looks for these words.
 */

import type { CatalogFindingKind } from './catalog_findings.js'
import type { StoreFindingKind } from '../../engine/health.js'

export type DamageKind =
  | 'format_unreadable'
  | 'catalog_unreadable'
  | 'catalog_older'
  | 'store_mismatch'
  | 'records_unreadable'
  | CatalogFindingKind
  | StoreFindingKind

/** damaged: data is lost or in danger. wrong: none is. note: what a kill may leave, and the next start tidies up; no finding. */
export type Severity = 'damaged' | 'wrong' | 'note'

export interface Damage {
  severity: Severity
  /** What it says; `…` stands for names and numbers. */
  says: string
  /** What `--repair` does; undefined: it leaves it alone. */
  repair?: string
  /** What is left to do by hand. */
  todo?: string
}

const restore = 'restore what is named from a backup or a snapshot of another machine'
const rewrite =
  'upload the same bytes anew (a server whose scrub has told of the chunk, or that misses it, writes it again), or delete what is ' +
  'named, or write its named ranges anew'

export const damages: Record<DamageKind, Damage> = {
  format_unreadable: {
    severity: 'damaged',
    says: 'the file "format" …',
    repair: 'writes it anew when the catalog and the records are of a format that this Atoll knows',
  },
  catalog_unreadable: {
    severity: 'damaged',
    says: 'the catalog cannot be read …',
    todo: 'restore catalog.db from a backup',
  },
  catalog_older: {
    severity: 'damaged',
    says: 'catalog.db is not the one that belongs to the store: …',
    todo: 'put back the catalog.db that belongs to this store: it is an older copy, or a new one; no server starts on it',
  },
  store_mismatch: {
    severity: 'damaged',
    says: 'the catalog and the store do not belong together: …',
    todo:
      "mount or restore what is missing, older or another store's, so that catalog.db and all of store/ are of one time; until then no " +
      'server starts, and --repair does nothing',
  },
  records_unreadable: {
    severity: 'damaged',
    says: 'the records cannot be read …',
    todo: 'restore the data directory from a backup',
  },

  resource_missing: { severity: 'damaged', says: '… refers to the resource …, which is not there', todo: restore },
  layer_missing: { severity: 'damaged', says: '… refers to the layer …, which is not there', todo: restore },
  layer_cycle: { severity: 'damaged', says: 'layer … is its own ancestor', todo: restore },
  reference_broken: { severity: 'damaged', says: '… refers to nothing in …', todo: restore },
  row_dangling: {
    severity: 'wrong',
    says: 'a row of … belongs to nothing in …',
    repair: 'deletes the row: what it describes is not there any more',
  },
  layer_unsealed: {
    severity: 'damaged',
    says: 'layer … has a child but is not sealed',
    repair: 'seals it; a volume that would go on writing to it goes on with a new layer',
  },
  layer_dropping: {
    severity: 'damaged',
    says: 'layer … is being dropped but is still part of the tree',
    repair: 'keeps the layer: it is live again',
  },
  head_unsealed: {
    severity: 'damaged',
    says: 'the read-only resource … has a head that is not sealed',
    repair: 'seals it; a volume that would go on writing to it goes on with a new layer',
  },
  head_sealed: {
    severity: 'damaged',
    says: 'the writable resource … has a head that is sealed or shared',
    repair: 'the resource goes on with a new layer over that one; no data is touched',
  },
  limit_wrong: {
    severity: 'damaged',
    says: 'layer … shows … blocks of its parent, and must show at most …',
    repair: 'lowers the limit, so that old bytes past the end stay hidden',
  },
  layer_numbers: {
    severity: 'damaged',
    says: 'the next layer would get the number …, which is taken',
    repair: 'counts on from the largest number',
  },
  resource_unowned: {
    severity: 'wrong',
    says: 'the resource … belongs to no object, image, snapshot, volume, twin or job',
    todo: 'it takes space, and nobody can reach it: restore the row that named it, or leave it',
  },
  size_mismatch: {
    severity: 'damaged',
    says: '… says that it has … bytes, its resource has …',
    todo: 'find out which is right; `openstack volume set --size`, or a new upload, makes them agree',
  },
  container_counts: {
    severity: 'wrong',
    says: 'the container … does not count its objects right',
    repair: 'counts them',
  },
  account_counts: {
    severity: 'wrong',
    says: 'the account of the project … does not count its containers and objects right',
    repair: 'counts them',
  },

  block_counts: {
    severity: 'wrong',
    says: 'the project … does not count its volumes and snapshots right',
    repair: 'counts them',
  },

  record_unreadable: { severity: 'damaged', says: 'layer …, region …: region record: …', todo: restore },
  key_unknown: {
    severity: 'damaged',
    says: 'the record store has a key that no version of its format knows …',
    todo: 'restore the data directory from a backup',
  },
  blocks_shared: {
    severity: 'damaged',
    says: 'layer …, region …: blocks of data file … belong to another record too',
    todo: restore,
  },
  layer_unknown: {
    severity: 'note',
    says: '… of interrupted operations; the next start gives …',
    repair: 'drops the layer, unless a row refers to it',
  },
  count_unreadable: { severity: 'damaged', says: '…: its reference count is not a number', repair: 'counts anew' },
  count_low: {
    severity: 'damaged',
    says: '…: … records mention it, its count says …',
    repair: 'sets the count right',
  },
  count_high: {
    severity: 'wrong',
    says: '…: … records mention it, its count says …',
    repair: 'sets the count right, when every record can be read',
  },
  garbage_unreadable: {
    severity: 'damaged',
    says: 'data file …: a garbage entry is not a bitmap',
    repair: 'removes the entry; the space is found anew',
  },
  garbage_in_use: {
    severity: 'damaged',
    says: '… in use … marked as garbage',
    repair: 'takes the mark away, before a start frees what is in use',
  },
  file_missing: { severity: 'damaged', says: 'data file … is missing: its blocks cannot be read', todo: restore },
  file_short: {
    severity: 'damaged',
    says: 'data file … is cut short: … blocks of its records lie past its end, and cannot be read',
    todo: restore,
  },
  file_unmentioned: {
    severity: 'wrong',
    says: 'data file … is not mentioned by any record',
    repair: 'removes it, when every record can be read',
  },
  space_unaccounted: {
    severity: 'note',
    says: 'data file … takes … bytes of the disk, its records account for …',
    repair: 'punches what no record mentions, when every record can be read',
  },
  chunk_length: {
    severity: 'damaged',
    says: 'layer …, region …: content chunk … has another length elsewhere',
    todo: restore,
  },
  chunk_missing: { severity: 'damaged', says: 'content chunk … is missing', todo: rewrite },
  chunk_corrupt: {
    severity: 'damaged',
    says: 'content chunk … does not have the bytes of its digest …',
    todo: rewrite,
  },
  chunk_unreadable: { severity: 'damaged', says: 'content chunk … cannot be read …', todo: rewrite },
  chunk_unmentioned: {
    severity: 'wrong',
    says: 'content chunk … is not mentioned by any record',
    repair: 'removes it, when every record can be read',
  },
  more: { severity: 'wrong', says: '… more findings', todo: 'put right what is shown, and check again' },
}
