/** Structured logs: one JSON object a line, or words for a terminal. Secrets never go in. */

import { type Logger, type LoggerOptions, pino } from 'pino'
import pretty from 'pino-pretty'

export type { Logger } from 'pino'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export interface LogSettings {
  level: LogLevel
  /** For people; otherwise JSON. */
  pretty?: boolean
}

export function createLogger({ level, pretty: forPeople = false }: LogSettings): Logger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    // A second line of defence: nothing should log whole headers, but if something does, no secret is in them.
    redact: ['headers["x-auth-token"]', 'req.headers["x-auth-token"]', 'password', 'token'],
  }
  // Standard output: what the server says to programs. Synchronous, so that the last words before an exit are kept.
  if (forPeople) {
    return pino(
      options,
      pretty({ colorize: process.stdout.isTTY, sync: true, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' }),
    )
  }
  return pino(options, pino.destination({ dest: 1, sync: true }))
}

/** A logger that says nothing, for tests. */
export const silentLogger = (): Logger => pino({ level: 'silent' })
