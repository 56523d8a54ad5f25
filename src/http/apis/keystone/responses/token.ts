/** A token in the Identity API's format. */

import type { Session } from '../../../../core/model/records.js'
import { domainReference } from './resources.js'
import { serviceCatalog } from './service_catalog.js'

/** `catalogUrl`: the server's URL, for the service catalog; undefined omits it. */
export function tokenBody(session: Session, catalogUrl: string | undefined) {
  const { user, project, roles } = session.caller
  return {
    token: {
      methods: session.methods,
      user: { id: user.id, name: user.name, domain: domainReference, password_expires_at: null },
      audit_ids: session.auditIds,
      issued_at: tokenTime(session.issuedAt),
      expires_at: tokenTime(session.expiresAt),
      ...(project && {
        project: { id: project.id, name: project.name, domain: domainReference },
        is_domain: false,
        roles: roles.map(({ id, name }) => ({ id, name })),
        ...(catalogUrl !== undefined && { catalog: serviceCatalog(catalogUrl, project.id) }),
      }),
    },
  }
}

/** Six decimals, as Keystone writes them. */
function tokenTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '000Z')
}
