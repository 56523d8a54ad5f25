/** What a running server consists of, for those who report on it. */

import type { Store } from '../core/store.js'
import type { HostPort, TlsMode } from '../lib/addresses.js'
import type { ServeSettings } from './settings/table.js'

/** What is being listened on, with the real ports. */
export interface Doors {
  /** undefined: HTTP is off. */
  http: HostPort | undefined
  httpScheme: 'http' | 'https'
  nbd: string[]
  /** Of the addresses in `nbd`, in the same order. */
  nbdTls: TlsMode[]
  /** undefined: metrics are off. */
  metrics: HostPort | undefined
}

export interface Server {
  settings: ServeSettings
  store: Store
  doors: Doors
  firstStart: boolean
  close(): Promise<void>
}
