import type { Core } from '../../core/core.js'
import type { UrlSettings } from './base_url.js'
import type { Logins } from './logins.js'

/** What every API plugin is given when app.ts registers it. */
export interface ApiOptions {
  core: Core
  urls: UrlSettings
  logins: Logins
}
