/**
 * Frames of the stream that clients send, its query, protocols and close codes. What the server sends is in
 * server-frames.ts.
 */
import { z } from 'zod'
import { VCPU_ID_LIMIT } from '../hv/limits.js'
import { Op } from './op.js'
import { integerText } from './params.js'
import { Name, U32, U32_MAX } from './wire.js'

export const JSON_PROTOCOL = 'synic.v1.json'
export const BIN_PROTOCOL = 'synic.v1.bin'

export const NOTIFICATION_KINDS = [
  'message',
  'event',
  'interrupt',
  'eom',
  'eoi',
  'exit',
  'ack',
  'fault',
  'violation',
  'lifecycle',
] as const
export type NotificationKind = (typeof NOTIFICATION_KINDS)[number]

export const CLOSE_GOING_AWAY = 1001
export const CLOSE_BAD_FRAME = 4000
export const CLOSE_UNAUTHORIZED = 4001
export const CLOSE_NO_PARTITION = 4004
export const CLOSE_TOO_SLOW = 4008
export const CLOSE_DELETED = 4010

/** What each close code means. */
export const CLOSE_CODES: Readonly<Record<number, string>> = {
  [CLOSE_GOING_AWAY]: 'The server is going away.',
  [CLOSE_BAD_FRAME]: 'A frame or the query is not valid.',
  [CLOSE_UNAUTHORIZED]: 'The client is not authorized.',
  [CLOSE_NO_PARTITION]: 'There is no such partition.',
  [CLOSE_TOO_SLOW]: 'The client reads too slowly.',
  [CLOSE_DELETED]: 'The partition was deleted.',
}

/** The client's number for a request; its answer carries it. */
export const RequestId = z.int().min(0)
const KINDS_RULE = `kinds: some of ${NOTIFICATION_KINDS.join(', ')}`
const Kinds = z.array(z.enum(NOTIFICATION_KINDS, { error: KINDS_RULE }))
/** As many vCPUs as a partition can have. */
export const FILTER_VCPUS_MAX = VCPU_ID_LIMIT
const Vcpus = z.array(U32).max(FILTER_VCPUS_MAX)

/** What to be told; a part left out means all. */
export const Filter = z
  .strictObject({ kinds: Kinds.optional(), vcpus: Vcpus.optional() })
  .meta({ id: 'Filter', description: 'What to be told; a part left out means all.' })
export type Filter = z.infer<typeof Filter>

export const OpsFrame = z
  .strictObject({ id: RequestId, ops: z.array(Op), stop_on_fault: z.boolean().optional() })
  .meta({
    id: 'OpsFrame',
    description: 'A batch of ops, applied in one piece. Answered by Answer or Refusal with the same id.',
    examples: [{ id: 7, ops: [{ op: 'message.complete', vcpu: 0, sint: 2 }], stop_on_fault: true }],
  })
export type OpsFrame = z.input<typeof OpsFrame>

export const SubscribeFrame = z.strictObject({ id: RequestId, subscribe: Filter }).meta({
  id: 'SubscribeFrame',
  description: 'Another filter from now on. Answered by Subscribed with the same id.',
  examples: [{ id: 8, subscribe: { kinds: ['message', 'eom'], vcpus: [0] } }],
})
export type SubscribeFrame = z.input<typeof SubscribeFrame>

/** As the server reads it: ops are checked by the engine, field by field, as in a REST batch. */
export const UncheckedOps = OpsFrame.extend({ ops: z.array(z.unknown()) })
export const ClientFrame = z.union([UncheckedOps, SubscribeFrame])

const TIME_RULE = 'a time in UTC, "2026-01-31T12:00:00.000Z", or milliseconds since 1970'
/** What a Date can hold. */
const TIME_MAX = 8.64e15
const list = (text: string) => text.split(',').filter((item) => item !== '')

/** Query of the upgrade request. */
export const StreamQuery = z.strictObject({
  vcpus: z
    .string()
    .transform(list)
    .pipe(z.array(integerText(0, U32_MAX)))
    .optional()
    .meta({ description: 'Tell what concerns these vCPUs, or all of them: `0,1`.' }),
  kinds: z
    .string()
    .transform(list)
    .pipe(Kinds)
    .optional()
    .meta({ description: `Tell these kinds only: some of \`${NOTIFICATION_KINDS.join(',')}\`.` }),
  since: integerText(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .meta({ description: 'First tell what came after this notification: `41`.' }),
  created_at: z
    .union([z.iso.datetime({ error: TIME_RULE }), integerText(0, TIME_MAX)], { error: TIME_RULE })
    .optional()
    .meta({
      description:
        'When the partition that `since` counts in was made, as its hello told: a time, or milliseconds ' +
        'since 1970. If the partition of this id is another, `since` means nothing to it: all that it has ' +
        'told is told, or told to be gone.',
    }),
  actor: Name.optional().meta({ description: 'Who acts in ops that name no actor: `vmbus`.' }),
})
