/**
 * One REST operation as data: what it takes, what it answers. Routes and openapi.yaml are made from the same
 * list.
 */
import type { z } from 'zod'
import { takesKey } from './idempotency-key.js'
import type { ProblemCode } from './problem.js'

export const JSON_TYPE = 'application/json'
export const BYTES_TYPE = 'application/octet-stream'

export const TAGS = {
  partitions: 'Partitions: made, found, changed, copied, removed',
  ops: 'Ops: the one vocabulary, in batches; and the log of them',
  vcpus: 'vCPUs: SynIC, timers and local APIC, decoded for people',
  registers: 'MSRs',
  messages: 'Message slots',
  events: 'Event flags',
  interrupts: "The guest CPU's side of the local APIC",
  routing: 'GSI routes and irqfds',
  ports: 'Ports and their connections',
  memory: 'Guest memory',
  clock: 'Reference time',
  streams: 'The stream of a partition: guests, harnesses and dashboards on a WebSocket',
  audit: 'Audit: who broke whose register, and which message nobody will see',
  scenarios: 'Scenarios: known bugs and their fixes, step by step, and runs of them',
  service: 'Probes, metrics, and this document',
} as const
type Tag = keyof typeof TAGS

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface Reply {
  readonly description: string
  /** Absent: no body. For content that is not JSON it says what a test may check. */
  readonly schema?: z.ZodType
  /** `application/json` unless given. */
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Operation {
  readonly id: string
  readonly method: Method
  /** With parameters in braces, as OpenAPI writes them. */
  readonly path: string
  readonly tag: Tag
  readonly summary: string
  readonly description?: string
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  /** Headers it looks at, by lower-case name. */
  readonly headers?: z.ZodObject
  readonly body?: {
    readonly schema: z.ZodType
    readonly type?: string
    /** Other types that it may have: texts, which the route reads by itself. */
    readonly texts?: readonly string[]
    readonly required: boolean
  }
  readonly replies: Readonly<Record<number, Reply>>
  /** Problems besides those that every operation can have. */
  readonly problems: readonly ProblemCode[]
  /** Data-plane operations are what guests and VMMs do all the time: no log line each. */
  readonly plane: 'data' | 'control'
}

/** Types that a body may have. */
export function bodyTypesOf({ body }: Operation): string[] {
  return body === undefined ? [] : [body.type ?? JSON_TYPE, ...(body.texts ?? [])]
}

/** Problems that every operation of a kind can have. */
export function problemsOf(operation: Operation): ProblemCode[] {
  const codes: ProblemCode[] = [
    ...operation.problems,
    'invalid-request',
    'unknown-host',
    'too-many-requests',
    'internal-error',
  ]
  if (takesKey(operation)) codes.push('idempotency-conflict')
  if (operation.method !== 'GET') codes.push('foreign-origin')
  if (operation.path.includes('{pid}')) codes.push('partition-not-found')
  if (operation.path.includes('{vp}')) codes.push('vcpu-not-found')
  if (operation.body !== undefined) codes.push('body-too-large', 'unsupported-media-type')
  if (operation.body !== undefined && operation.body.type === undefined) codes.push('malformed-json')
  return [...new Set(codes)]
}
