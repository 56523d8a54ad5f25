/** Accounts of object storage: one for each project. The door's name for it is `AUTH_<project id>`. */
import type { ListingQuery } from './listing.js'
import type { Account, ContainerSummary, KeptHeaders, Listed, Metadata, ProjectCaller } from './records.js'

/** What a POST changes. Names are lower case; a name in `remove*` goes, one in `set*` is put, the others stay. */
export interface MetadataChange {
  setMetadata?: Metadata | undefined
  removeMetadata?: string[] | undefined
  setHeaders?: KeptHeaders | undefined
  removeHeaders?: string[] | undefined
}

export declare class Accounts {
  /** Throws ReadAccessOnly (403) for another project's account, AccountNotFound when an admin names an unknown project. */
  get(caller: ProjectCaller, projectId: string): Promise<Account>
  update(caller: ProjectCaller, projectId: string, change: MetadataChange): Promise<void>
  /** Containers by name. */
  list(caller: ProjectCaller, projectId: string, query: ListingQuery): Promise<Listed<ContainerSummary>[]>
}
