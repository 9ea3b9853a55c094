/** Frames of the stream that the server sends: hello, answers, gaps, and one notification schema a kind. */
import { z } from 'zod'
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import { GSI_LIMIT, VCPU_ID_LIMIT } from '../hv/limits.js'
import { PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import { SINT_COUNT } from '../hv/registers.js'
import { LIFECYCLES, SOURCES } from '../synic/effects.js'
import { BIN_PROTOCOL, JSON_PROTOCOL, RequestId } from './frames.js'
import { PARTITION_EVENTS, VCPU_EVENTS } from './notification.js'
import { Problem } from './problem.js'
import { Result } from './result.js'
import { violationFields } from './violation.js'
import { HEX_PATTERN, U64Out } from './wire.js'

/** Of a notification; 0 is before the first. */
const N = z.int().min(0)
/** Of an op. */
const Seq = z.int().min(1)

export const Hello = z
  .strictObject({
    hello: z.strictObject({
      partition: z.string(),
      created_at: z.iso.datetime().meta({
        description:
          'When the partition was made, as `GET /v1/partitions/{pid}` tells it. A later one of the same id ' +
          'has another time, and counts from 1 again.',
      }),
      n: N,
      protocol: z.enum([JSON_PROTOCOL, BIN_PROTOCOL]),
    }),
  })
  .meta({
    id: 'Hello',
    description: 'First of all: where the client is, and which notification is the newest.',
    examples: [
      { hello: { partition: 'p1', created_at: '2026-01-31T12:00:00.000Z', n: 41, protocol: JSON_PROTOCOL } },
    ],
  })
export type Hello = z.infer<typeof Hello>

export const Answer = z.strictObject({ id: RequestId, seq: Seq, results: z.array(Result) }).meta({
  id: 'Answer',
  description:
    'What a batch did, behind the notifications it made. `seq` is the number of its first op; there is one ' +
    'result for each op applied.',
  examples: [{ id: 7, seq: 120, results: [{ ok: true }] }],
})
export type Answer = z.infer<typeof Answer>

const StreamProblem = z
  .strictObject(Problem.omit({ instance: true, request_id: true }).shape)
  .meta({ id: 'StreamProblem', description: 'What went wrong (RFC 9457).' })
export type StreamProblem = z.infer<typeof StreamProblem>

export const Refusal = z.strictObject({ id: RequestId, problem: StreamProblem }).meta({
  id: 'Refusal',
  description: 'The batch was refused, and nothing of it applied.',
  examples: [
    {
      id: 7,
      problem: {
        type: '/problems/vcpu-not-found',
        title: 'No such vCPU',
        status: 404,
        detail: 'Partition p1 has no vCPU 9.',
        errors: [{ path: 'ops/0/vcpu', message: 'no vCPU 9 in this partition' }],
      },
    },
  ],
})
export type Refusal = z.infer<typeof Refusal>

export const Subscribed = z.strictObject({ id: RequestId, n: N }).meta({
  id: 'Subscribed',
  description: 'The new filter is for the notifications after `n`.',
  examples: [{ id: 8, n: 41 }],
})
export type Subscribed = z.infer<typeof Subscribed>

export const Gap = z.strictObject({ gap: z.strictObject({ from: N.min(1), to: N.min(1) }) }).meta({
  id: 'Gap',
  description: 'The notifications from one number to the other, both included, are gone for this client.',
  examples: [{ gap: { from: 42, to: 97 } }],
})
export type Gap = z.infer<typeof Gap>

/** Every notification: its number, the op it came from, and reference time in 100 ns ticks. */
const head = { n: N.min(1), seq: Seq, t: z.int().min(0) }
const vcpu = z
  .int()
  .min(0)
  .max(VCPU_ID_LIMIT - 1)
const ofVcpu = { ...head, vcpu }
const sint = z
  .int()
  .min(0)
  .max(SINT_COUNT - 1)
/** Left out where it would be false. */
const nested = z.literal(true).optional()
const vector = z.int().min(0).max(255)

/** What the examples below have in common. */
const example = { n: 42, seq: 120, t: 350_000 }

const MessageNotification = z
  .strictObject({
    ...ofVcpu,
    kind: z.literal('message'),
    sint,
    nested,
    source: z.enum(['message', 'timer']),
    type: U64Out,
    sender: U64Out,
    hex: z
      .string()
      .max(2 * PAYLOAD_BYTES_MAX)
      .regex(HEX_PATTERN),
    pending: z.boolean(),
  })
  .meta({
    id: 'MessageNotification',
    description: 'A message is in its slot; the slot as it stands.',
    examples: [
      {
        ...example,
        kind: 'message',
        vcpu: 0,
        sint: 2,
        source: 'message',
        type: '0x1',
        sender: '0x7',
        hex: '0a0b',
        pending: false,
      },
    ],
  })

const EventNotification = z
  .strictObject({
    ...ofVcpu,
    kind: z.literal('event'),
    sint,
    nested,
    flag: z
      .int()
      .min(0)
      .max(FLAGS_PER_SINT - 1),
  })
  .meta({
    id: 'EventNotification',
    description: 'An event flag was newly set.',
    examples: [{ ...example, kind: 'event', vcpu: 0, sint: 2, flag: 5 }],
  })

const InterruptNotification = z
  .strictObject({
    ...ofVcpu,
    kind: z.literal('interrupt'),
    sint: sint.optional(),
    nested,
    vector,
    source: z.enum(SOURCES),
  })
  .meta({
    id: 'InterruptNotification',
    description: 'The local APIC accepted an interrupt. Direct timers and IPIs have no SINT.',
    examples: [{ ...example, kind: 'interrupt', vcpu: 0, sint: 2, vector: 243, source: 'message' }],
  })

const EomNotification = z.strictObject({ ...ofVcpu, kind: z.literal('eom') }).meta({
  id: 'EomNotification',
  description: 'The guest wrote EOM.',
  examples: [{ ...example, kind: 'eom', vcpu: 0 }],
})

const EoiNotification = z.strictObject({ ...ofVcpu, kind: z.literal('eoi'), vector }).meta({
  id: 'EoiNotification',
  description: 'An interrupt is over: the vector was in service.',
  examples: [{ ...example, kind: 'eoi', vcpu: 0, vector: 243 }],
})

const MsrExit = z.strictObject({
  ...ofVcpu,
  kind: z.literal('exit'),
  msr: U64Out,
  control: U64Out,
  evt_page: U64Out,
  msg_page: U64Out,
})
const HypercallExit = z.strictObject({
  ...ofVcpu,
  kind: z.literal('exit'),
  input: U64Out,
  params: z.array(U64Out).length(2),
})
const ExitNotification = z.union([MsrExit, HypercallExit]).meta({
  id: 'ExitNotification',
  description: 'The VMM is told: of a SynIC register that was written, or of a hypercall.',
  examples: [
    {
      ...example,
      kind: 'exit',
      vcpu: 0,
      msr: '0x40000083',
      control: '0x1',
      evt_page: '0x0',
      msg_page: '0x10001',
    },
    { ...example, kind: 'exit', vcpu: 0, input: '0x1005d', params: ['0x3', '0x0'] },
  ],
})

const AckNotification = z
  .strictObject({
    ...head,
    kind: z.literal('ack'),
    gsi: z
      .int()
      .min(0)
      .max(GSI_LIMIT - 1),
  })
  .meta({
    id: 'AckNotification',
    description: 'The resampler of a GSI was told that its interrupt is over.',
    examples: [{ ...example, kind: 'ack', gsi: 24 }],
  })

const FaultNotification = z
  .strictObject({ ...ofVcpu, kind: z.literal('fault'), fault: z.enum(['gp', 'ud']) })
  .meta({
    id: 'FaultNotification',
    description: 'The guest instruction faulted.',
    examples: [{ ...example, kind: 'fault', vcpu: 0, fault: 'gp' }],
  })

const ViolationNotification = z
  .strictObject({
    ...head,
    vcpu: vcpu.optional(),
    kind: z.literal('violation'),
    ...violationFields,
  })
  .meta({
    id: 'ViolationNotification',
    description: 'An invariant does not hold.',
    examples: [
      {
        ...example,
        kind: 'violation',
        vcpu: 0,
        invariant: 'I2',
        rule: 'foreign_write',
        severity: 'error',
        msr: '0x40000083',
        register: 'SIMP',
        actor: 'mshv',
        other: 'vmbus',
        other_seq: 2,
        text: 'mshv writes SIMP, which belongs to vmbus',
      },
    ],
  })

const VcpuLifecycle = z.strictObject({
  ...ofVcpu,
  kind: z.literal('lifecycle'),
  event: z.enum(VCPU_EVENTS),
})
const PartitionLifecycle = z.strictObject({
  ...head,
  kind: z.literal('lifecycle'),
  event: z.enum([...LIFECYCLES, ...PARTITION_EVENTS]),
})
const LifecycleNotification = z.discriminatedUnion('event', [VcpuLifecycle, PartitionLifecycle]).meta({
  id: 'LifecycleNotification',
  description: 'A vCPU, or the partition as a whole, starts, stops or is reset.',
  examples: [
    { ...example, kind: 'lifecycle', vcpu: 0, event: 'vcpu_reset' },
    { ...example, kind: 'lifecycle', event: 'paused' },
  ],
})

/** One schema a kind, in the order of NOTIFICATION_KINDS. */
export const NOTIFICATIONS = [
  MessageNotification,
  EventNotification,
  InterruptNotification,
  EomNotification,
  EoiNotification,
  ExitNotification,
  AckNotification,
  FaultNotification,
  ViolationNotification,
  LifecycleNotification,
] as const

/** A type is told by `kind`. zod's own discriminated union does not take the two forms of an exit. */
export const Notification = z.union(NOTIFICATIONS)
export type Notification = z.infer<typeof Notification>

export const ServerFrame = z.union([Notification, Answer, Refusal, Subscribed, Gap, Hello])
export type ServerFrame = z.infer<typeof ServerFrame>
