/** What each operation takes and answers, as types: all of it from the zod schemas of `src/api`. */
import type { z } from 'zod'
import type { OP_FIELDS } from '../api/op.js'
import type { BYTES_TYPE } from '../api/operation.js'
import type { PartitionView } from '../api/partition.js'
import type { Result } from '../api/result.js'
import type { OperationId, Operations } from './endpoints.js'

type OpName = keyof typeof OP_FIELDS
/** An empty object type would admit no other field beside it. */
type Fields<Name extends OpName> = keyof (typeof OP_FIELDS)[Name] extends never
  ? unknown
  : z.input<z.ZodObject<(typeof OP_FIELDS)[Name]>>

interface Initiator {
  /** Who starts it: the guest (default) or the VMM. */
  by?: 'guest' | 'host'
  /** Which driver acts, by a name of its own choice. */
  actor?: string
}

/** Ops that are about their actor. */
type ActorOp = 'page.claim' | 'actor.attach' | 'actor.detach'

/**
 * One step of the simulated machine as it is sent, for instance
 * `{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x1001' }`. u64 values are `"0x…"` or integers up to
 * 2^53-1.
 */
export type Op = {
  [Name in OpName]: { op: Name } & Fields<Name> &
    (Name extends ActorOp ? Omit<Initiator, 'actor'> & { actor: string } : Initiator)
}[OpName]

/** The part of an op that is not in the path. */
type Rest<Name extends OpName, InPath extends keyof Fields<Name> = never> = Omit<Fields<Name>, InPath> &
  Initiator

/** Bodies whose schemas are put together at run time, so that the compiler sees no fields in them. */
interface OpBodies {
  postOps: { ops: readonly Op[]; stop_on_fault?: boolean; actor?: string }
  writeMsr: Rest<'msr.write', 'vcpu' | 'msr'>
  postMessage: Rest<'message.post', 'vcpu'>
  completeMessage: Rest<'message.complete', 'vcpu' | 'sint'>
  signalEvent: Rest<'event.signal', 'vcpu'>
  ackInterrupt: Rest<'apic.ack', 'vcpu'>
  endInterrupt: Rest<'apic.eoi', 'vcpu'>
  putRoutes: Rest<'gsi.route'>
  assertGsi: Rest<'gsi.assert', 'gsi'>
  bindIrqfd: Rest<'irqfd.bind', 'gsi'>
  createPort: Rest<'port.create'>
  createConnection: Rest<'connection.create'>
  advanceClock: Rest<'clock.advance'>
}

type BodyOf<Id extends OperationId, Body extends { readonly schema: z.ZodType }> = Id extends keyof OpBodies
  ? OpBodies[Id]
  : Body extends { readonly type: typeof BYTES_TYPE }
    ? Uint8Array
    : z.input<Body['schema']>

/** Paths and queries are text: numbers and booleans may be given as what they are. */
type Texts<Schema extends z.ZodType> = {
  [K in keyof z.input<Schema>]:
    | z.input<Schema>[K]
    | (K extends keyof z.output<Schema> ? z.output<Schema>[K] : never)
}

type Part<Name extends string, Value> = undefined extends Value
  ? { [K in Name]?: Value }
  : Record<never, never> extends Value
    ? { [K in Name]?: Value }
    : { [K in Name]: Value }

type PartIf<Operation, Name extends string> = Operation extends { readonly [K in Name]: infer S }
  ? S extends z.ZodType
    ? Part<Name, Texts<S>>
    : unknown
  : unknown

type BodyPart<Id extends OperationId> = Operations[Id] extends {
  readonly body: infer Body extends { readonly schema: z.ZodType; readonly required: boolean }
}
  ? Body['required'] extends true
    ? { body: BodyOf<Id, Body> }
    : { body?: BodyOf<Id, Body> | undefined }
  : unknown

/** What an operation takes: `params` of its path, `query`, `headers`, `body`, as far as it has them. */
export type CallInput<Id extends OperationId> = PartIf<Operations[Id], 'params'> &
  PartIf<Operations[Id], 'query'> &
  PartIf<Operations[Id], 'headers'> &
  BodyPart<Id>

/** A reply declared as no more than `Reply` is a partition made (201) or the result of an op. */
type Undeclared<Status> = Status extends 201 ? PartitionView : Result

type ReplyBody<Reply, Status> = Reply extends { readonly type: typeof BYTES_TYPE }
  ? Uint8Array
  : 'schema' extends keyof Reply
    ? Reply extends { readonly schema: infer Schema extends z.ZodType }
      ? unknown extends z.output<Schema>
        ? Undeclared<Status>
        : z.output<Schema>
      : Undeclared<Status>
    : undefined

/** The headers of a reply, as `fetch` gives them. */
export interface ReplyHeaders {
  get(name: string): string | null
}

type Replies<Id extends OperationId> = Operations[Id]['replies']

/**
 * What an operation answers: one shape a status, told apart by `status`. `headers` has `etag`, `location`,
 * `idempotency-replayed` and the like.
 */
export type CallReply<Id extends OperationId> = {
  [Status in keyof Replies<Id>]: {
    readonly status: Status
    readonly headers: ReplyHeaders
    readonly body: ReplyBody<Replies<Id>[Status], Status>
  }
}[keyof Replies<Id>]

/** How one call is made. */
export interface CallOptions {
  /** Gives up: the call is rejected with the signal's reason. What was already sent may still be applied. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until the call is rejected with `SynicdTimeout`; 0 = no limit. */
  readonly timeoutMs?: number | undefined
}

type Arguments<Id extends OperationId> =
  Record<never, never> extends CallInput<Id>
    ? [input?: CallInput<Id>, options?: CallOptions]
    : [input: CallInput<Id>, options?: CallOptions]

/** One method an operation. */
export type Calls = {
  readonly [Id in OperationId]: (...args: Arguments<Id>) => Promise<CallReply<Id>>
}
