/** The NBD server of the engine: listeners, export names, TLS, counters. */

import type {
  NativeExportCounters as ExportCounters,
  NativeNbd,
  NbdDoor,
  NativeNbdLimits as NbdLimits,
  NbdTlsMode,
  NativeReconnected as Reconnected,
  NativeRequestFailure as RequestFailure,
  NativeTlsFailure as TlsFailure,
  NativeTlsMaterial as TlsMaterial,
} from '../addon/contract/nbd.js'
import { native, TlsUnusable } from '../addon/errors.js'
import { defaultNbdLimits, shareOfProject } from '../lib/default_limits.js'
import { asError } from '../lib/errors.js'
import type { LayerId, ResourceId } from '../lib/ids.js'

export type { ExportCounters, NbdDoor, NbdLimits, RequestFailure, TlsFailure, TlsMaterial }

export interface ExportTarget {
  resourceId: ResourceId
  readOnly: boolean
  description: string
  /** Its name in counters and reports; the export name may be a secret. */
  label: string
  /** The project whose share of the connections is used; empty: none. */
  project: string
}

/** Names of metadata contexts. In a list, `ns:` and `ns:kind:` are prefixes and no name means all; otherwise names are complete. */
export interface ContextQueries {
  list: boolean
  names: string[]
}

/** A metadata context of an export, other than base:allocation. */
export interface ExportContext {
  name: string
  /** depth: which layer supplies the data; decided: zeros that a layer recorded count too; changed: since an ancestor. */
  kind: 'depth' | 'decided' | 'changed'
  /** changed: the ancestor, opened (`Resources.openFor`) for the connection. */
  since?: { resourceId: ResourceId; layer: LayerId; sizeBytes: number }
}

/** The canonical name of an export, or the reason why there is none. */
export type FoundExport = { name: string } | { refusal: string }

export interface ExportResolver {
  /** Resolves a name given to the operator's listener; the refusal is shown to its client. */
  find(name: string): Promise<FoundExport>
  /** Opens the resource once (`Resources.openFor`) for the connection, or returns null. */
  open(door: NbdDoor, name: string): Promise<ExportTarget | null>
  list(door: NbdDoor): Promise<string[]>
  /** Logs that a TLS error ended a connection. */
  tlsFailed(failure: TlsFailure): void
  /** Logs that the storage failed a client's request. */
  requestFailed(failure: RequestFailure): void
  /** Returns the contexts of the export that the queries select. */
  contexts(door: NbdDoor, name: string, queries: ContextQueries): Promise<ExportContext[]>
}

const usualLimits: NbdLimits = {
  ...defaultNbdLimits,
  connectionsOfProject: shareOfProject(defaultNbdLimits.connections),
}

export class Nbd {
  readonly #native: NativeNbd

  constructor(nbd: NativeNbd) {
    this.#native = nbd
  }

  /** Once, before the first `listen`. */
  resolveExportsBy(resolver: ExportResolver, limits = usualLimits): void {
    this.#native.configure(
      {
        find: (name) => resolver.find(name),
        open: (door, name) => resolver.open(door, name),
        list: (door) => resolver.list(door),
        tlsFailed: (failure) => resolver.tlsFailed(failure),
        requestFailed: (failure) => resolver.requestFailed(failure),
        contexts: (door, name, queries) => resolver.contexts(door, name, queries),
      },
      limits,
    )
  }

  /**
   * Sets the TLS credentials of connections accepted from now on; before the first listener with TLS. Throws TlsUnusable, which says
   * what is wrong with which file; the credentials set before then stay in use.
   */
  setTls(material: TlsMaterial): void {
    try {
      this.#native.setTls(material)
    } catch (error) {
      throw new TlsUnusable(asError(error).message, { cause: error })
    }
  }

  /** `address`: `HOST:PORT` or `unix:PATH`; or the listening socket `inherited`. Returns the address with the real port. */
  listen(options: {
    address: string
    door: NbdDoor
    tls?: NbdTlsMode
    mode?: number
    inherited?: number | undefined
  }): Promise<string> {
    return native(() => this.#native.listen({ tls: 'off', ...options }))
  }

  /** Ends every connection that used this export name. */
  disconnect(exportName: string): Promise<void> {
    return native(() => this.#native.disconnect(exportName))
  }

  /** Ends the connections of these exports so that their clients reconnect. Waits at most 10 s for requests in flight. */
  reconnect(exportNames: string[]): Promise<Reconnected> {
    return native(() => this.#native.reconnect(exportNames))
  }

  /** Of each NBD export that has connections, and of those that had one most recently. */
  exportCounters(): ExportCounters[] {
    return this.#native.exportCounters()
  }
}
