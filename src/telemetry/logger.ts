/** The process's log: JSON lines on stderr, so that stdout belongs to what a command prints. */
import { type Logger, pino } from 'pino'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Secrets never reach a log line. */
const REDACTED = ['req.headers.authorization', 'req.headers.cookie', 'authSecret']

export function createLogger(level: LogLevel): Logger {
  return pino({ level, redact: REDACTED }, pino.destination({ dest: 2, sync: false }))
}
