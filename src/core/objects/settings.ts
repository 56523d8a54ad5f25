/** What an account and one of its containers are set to: metadata and kept headers of both, by one query. */

import { sql } from 'kysely'
import { type KindColumns, type Kinds, kindsIn } from '../../catalog/named_values.js'
import { Prepared } from '../../catalog/prepared.js'
import type { Reader } from '../../catalog/types.js'

export interface Settings {
  account: Kinds
  /** undefined: there is no such container. */
  container: Kinds | undefined
}

type SettingRow = KindColumns & { owner: 'account' | 'container' }

const settingsBy = new Prepared<SettingRow, [account: string, project: string, container: string]>((db) =>
  sql<SettingRow>`select 'account' as owner, kind, name as kind_name, value as kind_value
      from account_metadata where project_id = ${''}
    union all
    select 'container' as owner, kinds.kind, kinds.name as kind_name, kinds.value as kind_value from containers
      left join container_metadata as kinds on kinds.container_id = containers.id
      where containers.project_id = ${''} and containers.name = ${''}`.compile(db),
)

/** `container` undefined: of the account alone. */
export async function settingsOf(db: Reader, projectId: string, container: string | undefined): Promise<Settings> {
  // No container has an empty name.
  const rows = await settingsBy.all(db, projectId, projectId, container ?? '')
  const ofContainer = rows.filter(({ owner }) => owner === 'container')
  return {
    account: kindsIn(rows.filter(({ owner }) => owner === 'account')),
    container: ofContainer.length === 0 ? undefined : kindsIn(ofContainer),
  }
}
