/** The snapshot document as a schema: its shape here, what must fit together in snapshot-checks.ts. */
import { z } from 'zod'
import * as limits from '../hv/limits.js'
import { PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import { SINT_COUNT, STIMER_COUNT } from '../hv/registers.js'
import { DISABLED_WRITES, IRQCHIPS, PROFILE_NAMES } from '../synic/profile.js'
import { type SavedState, SNAPSHOT_FORMAT, SNAPSHOT_VERSION } from '../synic/saved-state.js'
import { checkSnapshot } from './snapshot-checks.js'
import { HEX_PATTERN, Name, U32, U32_MAX, U64Out } from './wire.js'

const safe = Number.MAX_SAFE_INTEGER
const upTo = (max: number) => z.int().min(0).max(max)
const hex = (bytes: number) =>
  z
    .string()
    .max(2 * bytes)
    .regex(HEX_PATTERN)
const word = z
  .int()
  .min(-(2 ** 31))
  .max(2 ** 31 - 1)
const vcpu = upTo(limits.VCPU_ID_LIMIT - 1)
const sint = upTo(SINT_COUNT - 1)
const gsi = upTo(limits.GSI_LIMIT - 1)
const portId = upTo(limits.CONNECTION_ID_MAX)
const vector = upTo(255)
/**
 * Timers run at most as far ahead as KVM's host timer does, which is beyond the integers JSON holds exactly.
 */
const deadline = z
  .number()
  .min(0)
  .max(2 ** 57)
  .refine(Number.isInteger, { error: 'a whole number of ticks' })
/** The address of a page. */
const gpa = z.string().regex(/^0x(?:0|[1-9a-f][0-9a-f]{0,12}000)$/, { error: 'the address of a page' })
const place = { vcpu, nested: z.boolean() }
const strictlyAscending = (list: readonly number[]) => list.every((n, i) => i === 0 || n > list[i - 1])
const ascending = (of: z.ZodType<number>, max: number) =>
  z.array(of).max(max).refine(strictlyAscending, { error: 'ascending, each number once' })

const Message = z.strictObject({
  owner: z
    .int()
    .min(-2 - STIMER_COUNT)
    .max(limits.CONNECTION_ID_MAX),
  source: z.literal([0, 1, 2, 3, 4]),
  type: U32,
  sender: U64Out,
  hex: hex(PAYLOAD_BYTES_MAX),
})

const File = z.strictObject({
  scontrol: U64Out,
  sversion: U64Out,
  siefp: U64Out,
  simp: U64Out,
  sirbp: U64Out,
  sints: z.array(U64Out).length(SINT_COUNT),
  sint_to_gsi: z
    .array(
      z
        .int()
        .min(-1)
        .max(limits.GSI_LIMIT - 1),
    )
    .length(SINT_COUNT),
  vectors: ascending(vector, 256),
  auto_eoi_vectors: ascending(vector, 256),
  sint_masks: word,
  flags: upTo(3),
  message_page: hex(limits.GPA_PAGE_BYTES).nullable(),
  event_page: hex(limits.GPA_PAGE_BYTES).nullable(),
})

const Vcpu = z.strictObject({
  id: vcpu,
  vp_index: vcpu,
  files: z.array(File).min(1).max(2),
  irr: ascending(vector, 256),
  isr: ascending(vector, 256),
  tpr: upTo(255),
  flags: upTo(0x3_ffff),
  vp_assist: U64Out,
  timers: z
    .array(z.strictObject({ config: U64Out, count: U64Out, exp_time: U64Out, deadline: deadline.nullable() }))
    .length(STIMER_COUNT),
})

const Config = z.strictObject({
  kind: z.enum(['root', 'nested_root', 'l1vh', 'guest']),
  profile: z.enum(PROFILE_NAMES),
  gpa_limit: gpa,
  memory_pages_max: upTo(safe),
  options: z.strictObject({
    enforce_cpuid: z.boolean(),
    scontrol_reset: U32,
    disabled_write: z.enum(DISABLED_WRITES),
    masked_blocks_messages: z.boolean(),
    apicv: z.boolean(),
    apic_enabled_at_reset: z.boolean(),
    pages_gpa_check: z.boolean(),
    compat_bugs: z.boolean(),
    implicit_irqfds: z.boolean(),
    split_delivery: z.boolean(),
    irqchip: z.enum(IRQCHIPS),
    nested_root_l1_enabled: z.boolean(),
    cpuid: z.strictObject({ eax: U32, ebx: U32, edx: U32 }),
  }),
})

const Port = z.strictObject({
  id: portId,
  type: z.literal([1, 2, 4]),
  vp_index: z.union([vcpu, z.literal(U32_MAX)]),
  sint,
  flag_base: upTo(0xffff),
  flag_count: upTo(0xffff),
})

const Connection = z.strictObject({
  id: portId,
  port: portId,
  doorbell: z.strictObject({ gpa: U64Out, value: U64Out, flags: U32 }).nullable(),
})

const Actor = z.strictObject({
  name: Name,
  claims: z
    .array(
      z.strictObject({
        vcpu: z.int().min(-1).max(9999),
        msr: U32,
      }),
    )
    .max(limits.CLAIMS_MAX),
})

const QemuRoute = z.strictObject({
  ...place,
  sint,
  vp_index: vcpu,
  gsi: z
    .int()
    .min(-1)
    .max(limits.GSI_LIMIT - 1),
  staged: Message.nullable(),
})

const Shape = z.strictObject({
  format: z.literal(SNAPSHOT_FORMAT),
  version: z.literal(SNAPSHOT_VERSION),
  config: Config,
  // Far enough below the last safe integer that no partition ever counts beyond it.
  seq: upTo(2 ** 52),
  now: upTo(limits.REFERENCE_TIME_MAX),
  paused: z.boolean(),
  kernel: z.union([z.literal(''), Name]),
  guest_os_id: U64Out,
  hypercall: U64Out,
  reference_tsc: U64Out,
  crash: z.array(U64Out).length(6),
  other_registers: z.array(z.strictObject({ key: upTo(safe), value: U64Out })),
  vcpus: z.array(Vcpu).max(limits.VCPUS_MAX),
  memory: z.array(z.strictObject({ gpa, hex: hex(limits.GPA_PAGE_BYTES) })),
  mapped_pages: z.array(
    z.strictObject({
      gpa,
      pages: z.array(z.strictObject({ ...place, page: z.literal([0, 1]) })).min(1),
    }),
  ),
  queues: z.array(
    z.strictObject({ ...place, sint, messages: z.array(Message).min(1).max(limits.SINT_QUEUE_MAX) }),
  ),
  qemu_routes: z.array(QemuRoute),
  bottom_halves: z.array(z.strictObject({ ...place, sint })),
  gsi_routes: z.array(z.strictObject({ gsi, vcpu: U32, sint: U32 })).max(limits.GSI_LIMIT),
  irqfds: z.array(z.strictObject({ gsi, state: z.literal([1, 3]) })).max(limits.GSI_LIMIT),
  eventfds: ascending(portId, limits.CONNECTION_ID_MAX + 1),
  ports: z.array(Port).max(limits.PORTS_MAX),
  connections: z.array(Connection).max(limits.PORTS_MAX),
  rings: z.array(z.strictObject({ ...place, sint, head: upTo(62), waiting: z.array(portId).max(4096) })),
  split_deliveries: z
    .array(z.strictObject({ ...place, sint, state: z.literal([0, 1, 2]), message: Message }))
    .max(limits.SPLIT_DELIVERIES_MAX),
  page_holders: z.array(z.strictObject({ gpa, actor: Name })).max(limits.PAGE_CLAIMS_MAX),
  actors: z.array(Actor).max(limits.NAMES_MAX),
})

/** A document that passes can be restored, and the machine then works: every reference in it was followed. */
export const Snapshot = Shape.superRefine((state, context) => {
  // Only a document of the right shape has references to follow.
  if (context.issues.length > 0) return
  for (const { path, rule } of checkSnapshot(state)) {
    context.addIssue({ code: 'custom', path: path.split('/'), message: rule })
  }
}).meta({ id: 'Snapshot', description: 'The whole state of a partition, hidden state included.' })
export type Snapshot = z.infer<typeof Snapshot> & SavedState
