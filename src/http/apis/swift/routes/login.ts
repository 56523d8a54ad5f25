/**
 * `/auth/v1.0`: the login of Swift's own TempAuth, for clients that know no Keystone. The user is `project:user`; the
 * token is one like any other.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { baseUrl } from '../../../shared/base_url.js'
import { SwiftError } from '../errors.js'
import { headerText } from '../header_text.js'
import { credentialsIn } from '../requests/credentials.js'
import { accountPrefix } from '../requests/target.js'

export function addLogin(app: FastifyInstance, { urls, logins }: ApiOptions): void {
  for (const path of ['/auth/v1.0', '/auth/v1']) {
    app.get(path, async (request, reply) => {
      const { project, user, key } = credentialsOf(request)
      const { token, session } = await logins.byPassword(request, {
        user: { name: user },
        password: key,
        scope: { project: { name: project } },
      })
      const projectId = session.caller.project?.id
      if (projectId === undefined) throw refusal()
      return reply
        .headers({
          'x-auth-token': token,
          'x-storage-token': token,
          'x-auth-token-expires': Math.max(0, Math.floor((session.expiresAt - Date.now()) / 1000)),
          'x-storage-url': `${baseUrl(request, urls)}/v1/${accountPrefix}${projectId}`,
        })
        .type('text/plain; charset=UTF-8')
        .send('')
    })
  }
}

/** Throws 401 when they are not given in full. */
function credentialsOf(request: FastifyRequest): { project: string; user: string; key: string } {
  const { headers } = request
  const login = headers['x-auth-user'] ?? headers['x-storage-user']
  const key = headers['x-auth-key'] ?? headers['x-storage-pass']
  const named = typeof login === 'string' ? credentialsIn(headerText(login)) : undefined
  if (named === undefined || typeof key !== 'string' || key === '') throw refusal()
  return { ...named, key: headerText(key) }
}

function refusal(): SwiftError {
  return new SwiftError(401, undefined, { 'www-authenticate': 'Swift realm="unknown"' })
}
