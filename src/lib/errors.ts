/**
 * Errors that a client or an operator is meant to see.
 *
 * Each kind is defined once, by `defineError`: a stable code for programs, an HTTP-like status for the doors, and a
 * message with `%s` for what it is about. docs/reference/errors.md is generated from `errorCatalogue()`.
 *
 * Status 500 means that something of ours is broken: the doors log it and tell the client nothing of our insides.
 */

export class AtollError extends Error {
  constructor(
    /** Stable, lower case, with underscores. */
    readonly code: string,
    /** The HTTP status that fits; each door may translate it into its own. */
    readonly status: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'AtollError'
  }
}

export interface ErrorDefinition {
  readonly code: string
  readonly status: number
  /** With `%s` where an argument goes. */
  readonly message: string
}

/** `new ImageNotFound(id)`; a last argument `{ cause }` is kept as the error's cause. */
export interface DefinedError extends ErrorDefinition {
  new (...details: (string | number | ErrorOptions)[]): AtollError
}

const catalogue = new Map<string, ErrorDefinition>()

/** Every error defined by the modules that are loaded, by code. */
export function errorCatalogue(): ErrorDefinition[] {
  return [...catalogue.values()].sort((a, b) => (a.code < b.code ? -1 : 1))
}

export function defineError(code: string, status: number, message: string): DefinedError {
  if (catalogue.has(code)) throw new Error(`the error code ${code} is defined twice`)
  catalogue.set(code, { code, status, message })
  return class extends AtollError {
    static readonly code = code
    static readonly status = status
    static readonly message = message
    constructor(...details: (string | number | ErrorOptions)[]) {
      const last = details.at(-1)
      const options = typeof last === 'object' ? last : undefined
      const words = details.filter((detail) => typeof detail !== 'object')
      let next = 0
      super(
        code,
        status,
        message.replace(/%s/g, () => String(words[next++] ?? '?')),
        options,
      )
    }
  }
}

/** Any thrown value as an Error, for logs and causes. */
export function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value))
}
