/** Structured logs: one JSON object a line, or words for a terminal. Secrets never go in. */

import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import pretty from 'pino-pretty'
import { KiB, MiB } from './units.js'

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
  // Standard output: what the server says to programs.
  if (forPeople) {
    return pino(
      options,
      pretty({ colorize: process.stdout.isTTY, sync: true, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' }),
    )
  }
  return pino(options, linesOfATurn(1))
}

// Half of what pino writes at once, so that one write is always enough.
const heldBytesMax = 8 * KiB
// Further lines are lost while nothing can be written.
const unwrittenBytesMax = MiB

/**
 * What is said in one turn of the event loop is written at its end, in one system call: a busy server says a line for each request.
 * It is written at once when it is much, with a fatal line, and at an exit. So only a process that is killed, or that aborts in
 * native code, takes words along, and those of one turn at most.
 */
function linesOfATurn(fd: number): DestinationStream & { flushSync(): void } {
  const out = pino.destination({ dest: fd, sync: true, minLength: heldBytesMax, maxLength: unwrittenBytesMax })
  // Nobody reads any more, or a disk is full: there is nowhere left to say so, and a server goes on without its log.
  out.on('error', () => {})
  let due = false
  // With `sync` this writes before it returns. SonicBoom's own flushSync() tries for ever what cannot be written, a process that
  // ought to end with it (4.2.1).
  const flushSync = () => out.flush()
  process.on('exit', flushSync)
  return {
    write: (line) => {
      out.write(line)
      if (due) return
      due = true
      setImmediate(() => {
        due = false
        flushSync()
      })
    },
    flushSync,
  }
}

/** A logger that says nothing, for tests. */
export const silentLogger = (): Logger => pino({ level: 'silent' })
