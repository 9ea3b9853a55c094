/**
 * Frames of the JSON stream: what clients send, what the server answers and tells (WebSocket
 * `synic.v1.json`).
 */
import { z } from 'zod'
import { Name, U32 } from './wire.js'

export const JSON_PROTOCOL = 'synic.v1.json'

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
export const CLOSE_NO_PARTITION = 4004
export const CLOSE_TOO_SLOW = 4008
export const CLOSE_DELETED = 4010

/** The client's number for a request; its answer carries it. */
const Id = z.int().min(0)
const KINDS_RULE = `kinds: some of ${NOTIFICATION_KINDS.join(', ')}`
const Kinds = z.array(z.enum(NOTIFICATION_KINDS, { error: KINDS_RULE }))
const Vcpus = z.array(U32)

/** What to be told; a part left out means all. */
export const Filter = z.strictObject({ kinds: Kinds.optional(), vcpus: Vcpus.optional() })
export type Filter = z.infer<typeof Filter>

/** Ops are checked by the engine, field by field, as in a REST batch. */
const OpsFrame = z.strictObject({
  id: Id,
  ops: z.array(z.unknown()),
  stop_on_fault: z.boolean().optional(),
})
const SubscribeFrame = z.strictObject({ id: Id, subscribe: Filter })
export const ClientFrame = z.union([OpsFrame, SubscribeFrame])

const list = (text: string) => text.split(',').filter((item) => item !== '')

/** Query of the upgrade request. */
export const StreamQuery = z.strictObject({
  vcpus: z
    .string()
    .transform(list)
    .pipe(z.array(z.coerce.number<string>().pipe(U32)))
    .optional(),
  kinds: z.string().transform(list).pipe(Kinds).optional(),
  since: z.coerce.number().int().min(0).optional(),
  actor: Name.optional(),
})
