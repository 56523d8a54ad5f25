import { defineError } from '../lib/errors.js'

export const CatalogTooNew = defineError(
  'catalog_too_new',
  500,
  'the catalog %s has schema version %s; this Atoll knows versions up to %s: use a newer Atoll',
)
export const CatalogOutdated = defineError(
  'catalog_outdated',
  500,
  'the catalog %s has schema version %s, not %s: start the server once to bring it up to date',
)
export const CatalogEmpty = defineError('catalog_empty', 500, 'the catalog %s is empty')
export const CatalogMissing = defineError('catalog_missing', 500, 'there is no catalog %s')
export const CatalogFull = defineError('catalog_full', 507, 'there is no space left for the catalog')
export const CatalogBusy = defineError('catalog_busy', 503, 'the catalog is locked by another process')
export const CatalogContended = defineError(
  'catalog_contended',
  503,
  'too many others change the same rows of the catalog: try again',
)
export const CatalogAway = defineError('catalog_away', 503, 'the database of the catalog cannot be reached: %s')
export const CatalogFailed = defineError('catalog_failed', 500, 'the catalog cannot be used: %s')
