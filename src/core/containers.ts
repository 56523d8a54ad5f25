/** Containers of an account. */

import type { MetadataChange } from './accounts.js'
import type { ListingQuery } from './listing.js'
import type { Container, KeptHeaders, Listed, Metadata, ObjectSummary, ProjectCaller } from './records.js'

export interface ContainerRef {
  projectId: string
  container: string
}

export declare class Containers {
  /** Makes the container, or changes the metadata of the one that is there. */
  put(
    caller: ProjectCaller,
    ref: ContainerRef,
    options?: {
      metadata?: Metadata | undefined
      headers?: KeptHeaders | undefined
      change?: MetadataChange | undefined
    },
  ): Promise<{ created: boolean }>
  /** Throws ContainerNotFound. */
  get(caller: ProjectCaller, ref: ContainerRef): Promise<Container>
  update(caller: ProjectCaller, ref: ContainerRef, change: MetadataChange): Promise<void>
  /** Throws ContainerNotEmpty. */
  delete(caller: ProjectCaller, ref: ContainerRef): Promise<void>
  /** Objects by name. */
  list(caller: ProjectCaller, ref: ContainerRef, query: ListingQuery): Promise<Listed<ObjectSummary>[]>
}
