/** A token in the Identity API's format. */

import type { DomainReference, NamedInDomain, Session } from '../../../../core/model/records.js'
import type { CatalogService } from './service_catalog.js'

/** `catalog`: undefined omits it. */
export function tokenBody(session: Session, catalog: CatalogService[] | undefined) {
  const { user, project, domain, system, roles } = session.caller
  const { credential } = session
  return {
    token: {
      methods: session.methods,
      user: { ...inDomain(user), password_expires_at: null },
      audit_ids: session.auditIds,
      issued_at: tokenTime(session.issuedAt),
      expires_at: tokenTime(session.expiresAt),
      ...(project && { project: inDomain(project), is_domain: false }),
      ...(domain && { domain: { id: domain.id, name: domain.name } }),
      ...(system && { system: { all: true } }),
      ...(credential && {
        application_credential: {
          id: credential.id,
          name: credential.name,
          restricted: !credential.unrestricted,
          ...(credential.accessRules && { access_rules: credential.accessRules }),
        },
      }),
      ...((project || domain || system) && {
        roles: roles.map(({ id, name }) => ({ id, name })),
        ...(catalog && { catalog }),
      }),
    },
  }
}

const inDomain = ({ id, name, domain }: NamedInDomain): NamedInDomain => ({ id, name, domain: domainOf(domain) })
const domainOf = ({ id, name }: DomainReference): DomainReference => ({ id, name })

/** Six decimals, as Keystone writes them. */
function tokenTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '000Z')
}
