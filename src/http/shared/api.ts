/** What the server and its APIs know of each other. */

import type { FastifyPluginAsync } from 'fastify'
import type { Core } from '../../core/core.js'
import type { UrlSettings } from './base_url.js'
import type { Logins } from './logins.js'

/** What app.ts registers every API's plugin with. */
export interface ApiOptions {
  core: Core
  urls: UrlSettings
  logins: Logins
}

export interface HttpError {
  status: number
  message: string
}

export interface RenderedError {
  contentType: string
  body: string
}

/** An API, and what the server does in its form before or without a handler of it. */
export interface Api {
  /** In metrics. */
  name: string
  plugin: FastifyPluginAsync<ApiOptions>
  /** Where the plugin is mounted; nowhere in particular if absent. */
  prefix?: string
  /** The types of its service in the catalog. */
  services: readonly string[]
  /** Whether a request target belongs to this API. */
  owns(url: string): boolean
  /** Formats an error that no handler of this API threw. `accept`: the request's Accept header. */
  renderError(error: HttpError, accept?: string): RenderedError
  /** The request IDs of this API; `req-<uuid>` if absent. */
  newRequestId?(): string
  /** The target that the router sees in place of `url`; the original is `request.originalUrl`. */
  routedUrl?(url: string): string
}

/** Returns the first API that owns the target; the last one if none does or the target is unknown. */
export function apiOf(apis: readonly Api[], url: string | undefined): Api {
  const own = url === undefined ? undefined : apis.find((api) => api.owns(url))
  return own ?? (apis.at(-1) as Api)
}

/** Whether a request target is `path` or below it. */
export function isBelow(url: string, path: string): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === '/' || url[path.length] === '?')
}
