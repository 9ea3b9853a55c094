/**
 * Pages of other origins. A browser lets any page open a WebSocket to any server, and send it simple
 * requests: whatever site somebody looks at could drive a server on the same machine. CORS does not stop
 * that, it only keeps answers from the page.
 */
import type { IncomingMessage } from 'node:http'
import { InputError } from '../src/api/problem.js'

const SAFE_METHODS = new Set(['GET', 'HEAD'])

/** Only browsers send `Origin`: of the page that asks. Its answers to a GET stay unread without our leave. */
export function originRefusal({ method = '', headers }: IncomingMessage): InputError | undefined {
  const { origin, host, upgrade } = headers
  if (origin === undefined || (SAFE_METHODS.has(method) && upgrade === undefined)) return undefined
  const page = origin.replace(/^\w+:\/\//, '')
  if (page.toLowerCase() === host?.toLowerCase()) return undefined
  const detail = `A page of ${origin.slice(0, 100)} cannot use the server at ${host}.`
  return new InputError([], 'foreign-origin', detail)
}
