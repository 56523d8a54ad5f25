/**
 * The body of `POST /v3/auth/tokens`: who logs in, by which method, and for which scope.
 * Source: keystone api-ref, v3/authenticate-v3.inc.
 */

import type { CredentialLogin, DomainName, LoginScope, Reference } from '../../../../core/identity/sessions.js'
import { isJsonObject } from '../../../shared/body.js'
import { MalformedBody } from '../../../shared/errors.js'
import { unsupportedLogin } from '../unsupported.js'

export type LoginRequest =
  | { method: 'password'; user: Reference; password: string; scope: LoginScope }
  | { method: 'token'; token: string; scope: LoginScope }
  | ({ method: 'application_credential' } & Omit<CredentialLogin, 'address'>)

type Json = Record<string, unknown>

const textLengthMax = 4096

/** Throws MalformedBody, Unsupported for unsupported methods and scopes. */
export function parseLogin(body: Json): LoginRequest {
  const auth = object(body, 'auth')
  const identity = object(auth, 'identity')
  const { methods } = identity
  if (!Array.isArray(methods) || methods.length === 0) {
    throw new MalformedBody('auth.identity.methods must be a list of names')
  }
  if (methods.length > 1) throw unsupportedLogin('logging in by several methods at once')
  const [method] = methods
  const scope = parseScope(auth)
  if (method === 'password') {
    const user = object(object(identity, 'password'), 'user')
    return { method, user: reference(user, 'user'), password: text(user, 'password'), scope }
  }
  if (method === 'token') return { method, token: text(object(identity, 'token'), 'id'), scope }
  if (method === 'application_credential') {
    const credential = object(identity, method)
    return { method, credential: credentialReference(credential), secret: text(credential, 'secret'), scope }
  }
  throw unsupportedLogin(`the login method ${String(method).slice(0, 64)}`)
}

function parseScope(auth: Json): LoginScope {
  const { scope } = auth
  if (scope === undefined || scope === null) return 'default'
  if (scope === 'unscoped') return 'unscoped'
  if (!isJsonObject(scope)) throw new MalformedBody('auth.scope must be an object')
  if (scope.unscoped !== undefined) return 'unscoped'
  if (scope.project !== undefined) return { project: reference(object(scope, 'project'), 'project') }
  if (scope.domain !== undefined) return { domain: domainName(object(scope, 'domain'), 'scope.domain') }
  if (scope.system !== undefined) {
    if (object(scope, 'system').all !== true) throw new MalformedBody('auth.scope.system.all must be true')
    return 'system'
  }
  throw unsupportedLogin('a scope other than a project, a domain or the system')
}

function credentialReference(value: Json): CredentialLogin['credential'] {
  if (value.id !== undefined && value.id !== null) return { id: text(value, 'id') }
  return { name: text(value, 'name'), user: reference(object(value, 'user'), 'user') }
}

function reference(value: Json, what: string): Reference {
  if (value.id !== undefined && value.id !== null) return { id: text(value, 'id') }
  const name = text(value, 'name')
  if (!isJsonObject(value.domain)) throw new MalformedBody(`${what}.domain must be given with ${what}.name`)
  return { name, domain: domainName(value.domain, `${what}.domain`) }
}

function domainName(value: Json, what: string): DomainName {
  if (value.id !== undefined && value.id !== null) return { id: text(value, 'id') }
  if (value.name === undefined) throw new MalformedBody(`${what} must have an id or a name`)
  return { name: text(value, 'name') }
}

function object(parent: Json, key: string): Json {
  const value = parent[key]
  if (!isJsonObject(value)) throw new MalformedBody(`${key} must be an object`)
  return value
}

function text(parent: Json, key: string): string {
  const value = parent[key]
  if (typeof value !== 'string') throw new MalformedBody(`${key} must be a string`)
  if (value.length > textLengthMax) throw new MalformedBody(`${key} is too long`)
  return value
}
