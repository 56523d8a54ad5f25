/** Tokens as they are stored. */

import type { Reader } from '../../catalog/types.js'

/** Deletes the tokens with this value, and all that were obtained with one of them, directly or through others. */
export async function deleteTokens(
  db: Reader,
  column: 'hash' | 'user_id' | 'project_id' | 'application_credential_id',
  value: string,
): Promise<void> {
  await db
    .withRecursive('ending(hash)', (query) =>
      query
        .selectFrom('tokens')
        .select('hash')
        .where(column, '=', value as never)
        // `union` and not `union all`: each token once, however many lead to it.
        .union(
          query.selectFrom('tokens').innerJoin('ending', 'ending.hash', 'tokens.parent_hash').select('tokens.hash'),
        ),
    )
    .deleteFrom('tokens')
    .where('hash', 'in', (query) => query.selectFrom('ending').select('hash'))
    .execute()
}
