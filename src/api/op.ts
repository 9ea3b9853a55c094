/** The ops on the wire, as zod schemas: what a batch, a stream, a trace and the log are made of. */
import { z } from 'zod'
import { CLAIMS_MAX, MEMORY_OP_BYTES_MAX, ROUTE_ENTRIES_WIRE_MAX } from '../hv/limits.js'
import { PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import { BOOT_CAUSES, type OpName, STEP_PARTS } from '../synic/op.js'
import { HEX_PATTERN, MsrIn, Name, parseMsr, U32, U64_TEXT_MAX, U64In } from './wire.js'

export const CAPS = ['synic', 'synic2'] as const
export const PORT_TYPES = ['message', 'event', 'doorbell'] as const
export const DOORBELL_BYTES = [1, 2, 4, 8] as const
export const EXCHANGE_BYTES = [1, 4, 8] as const
export const BY = ['guest', 'host'] as const

export const hexRule = (bytes: number) => `hex text without "0x", two digits a byte, at most ${bytes} bytes`
const Hex = (bytes: number) =>
  z
    .string({ error: hexRule(bytes) })
    .max(bytes * 2, { error: hexRule(bytes) })
    .regex(HEX_PATTERN, { error: hexRule(bytes) })

export const TICKS_RULE = 'ticks of 100 ns: an integer from 0 to 2^53-1'
export const LEN_RULE = `a length: an integer from 0 to ${MEMORY_OP_BYTES_MAX}`
export const MESSAGE_TYPE_RULE = 'a message type: an integer from 0 to 4294967295, or the same as "0x" hex'

/** A message type: u32, in either form. */
export const MessageType = z.union(
  [
    U32,
    z
      .string()
      .max(U64_TEXT_MAX)
      .regex(/^0[xX]0*[0-9a-fA-F]{1,8}$/),
  ],
  {
    error: MESSAGE_TYPE_RULE,
  },
)

/** A claim: a register on every vCPU ("SIMP"), or on one ("v1.SIMP"). */
export const CLAIM_RULE =
  'a claim: an MSR index or name, with "v" and a vCPU and a dot before it for one vCPU alone'
export const Claim = z.string({ error: CLAIM_RULE }).refine((text) => parseClaim(text) !== undefined, {
  error: CLAIM_RULE,
})

/** vCPU (-1 = every one) and MSR of a claim; undefined if the text is none. */
export function parseClaim(text: string): { vcpu: number; msr: number } | undefined {
  const [, vcpu, register] = /^(?:v(\d{1,4})\.)?(\w{1,66})$/.exec(text) ?? []
  const msr = register === undefined ? undefined : parseMsr(register)
  return msr === undefined ? undefined : { vcpu: vcpu === undefined ? -1 : Number(vcpu), msr }
}

const vcpu = U32
const sint = U32
const ticks = z.int({ error: TICKS_RULE }).min(0, { error: TICKS_RULE })
const len = z
  .int({ error: LEN_RULE })
  .min(0, { error: LEN_RULE })
  .max(MEMORY_OP_BYTES_MAX, { error: LEN_RULE })
const exchangeLen = z.literal(EXCHANGE_BYTES)
const nested = z.boolean().optional()

/** One routing entry; `vcpu` is a VP index, and neither it nor `sint` is checked by the hardware. */
export const RouteEntry = z.strictObject({ gsi: U32, vcpu: U32, sint: U32 })
export const RouteEntries = z.array(RouteEntry).max(ROUTE_ENTRIES_WIRE_MAX)

/** Fields of each op besides `op`, `by` and `actor`. */
export const OP_FIELDS = {
  'vcpu.create': { vcpu },
  'vcpu.reset': { vcpu },
  'vcpu.offline': { vcpu },
  'vcpu.online': { vcpu },
  'cap.enable': { vcpu, cap: z.enum(CAPS) },
  'msr.read': { vcpu, msr: MsrIn },
  'msr.write': { vcpu, msr: MsrIn, value: U64In },
  'mem.read': { gpa: U64In, len },
  'mem.write': { gpa: U64In, hex: Hex(MEMORY_OP_BYTES_MAX) },
  hypercall: { vcpu, control: U64In, input: U64In.optional(), output: U64In.optional() },
  'hv.post_message': { vcpu, connection: U32, type: MessageType, hex: Hex(PAYLOAD_BYTES_MAX).optional() },
  'hv.signal_event': { vcpu, connection: U32, flag: z.int().min(0).max(0xffff).optional() },
  'message.post': {
    vcpu,
    sint,
    type: MessageType,
    hex: Hex(PAYLOAD_BYTES_MAX).optional(),
    sender: U64In.optional(),
    nested,
  },
  'event.signal': { vcpu, sint, flag: U32, nested },
  'message.complete': { vcpu, sint, nested },
  'apic.ack': { vcpu },
  'apic.eoi': { vcpu },
  'apic.tpr': { vcpu, value: z.int().min(0).max(255) },
  'gsi.route': { entries: RouteEntries },
  'gsi.assert': { gsi: U32 },
  'irqfd.bind': { gsi: U32, resample: z.boolean().optional() },
  'irqfd.unbind': { gsi: U32 },
  'eventfd.assign': { conn: U32 },
  'eventfd.deassign': { conn: U32 },
  'port.create': {
    port: U32,
    type: z.enum(PORT_TYPES),
    vcpu: U32.optional(),
    sint,
    flag_base: z.int().min(0).max(0xffff).optional(),
    flag_count: z.int().min(0).max(0xffff).optional(),
  },
  'port.delete': { port: U32 },
  'connection.create': {
    connection: U32,
    port: U32,
    gpa: U64In.optional(),
    value: U64In.optional(),
    len: z.literal(DOORBELL_BYTES).optional(),
  },
  'connection.delete': { connection: U32 },
  'clock.advance': { ticks },
  'synic.dump': { vcpu },
  'partition.pause': {},
  'partition.resume': {},
  'partition.reset': {},
  'mem.cas': { gpa: U64In, len: exchangeLen, expect: U64In, value: U64In },
  'mem.xchg': { gpa: U64In, len: exchangeLen, value: U64In },
  'apic.enable': { vcpu, on: z.boolean() },
  'vcpu.halt': { vcpu },
  'vcpu.enter': { vcpu },
  'vcpu.kick': { vcpu, sticky: z.boolean().optional() },
  'page.claim': { gpa: U64In },
  'page.free': { gpa: U64In },
  'actor.attach': { claims: z.array(Claim).max(CLAIMS_MAX).optional() },
  'actor.detach': {},
  'kernel.boot': { kernel: Name, cause: z.enum(BOOT_CAUSES) },
  'host.step': { part: z.enum(STEP_PARTS), vcpu: U32.optional(), sint: U32.optional() },
} as const satisfies Record<OpName, z.ZodRawShape>

/** Ops whose actor is what they are about. */
export const ACTOR_REQUIRED: ReadonlySet<string> = new Set(['page.claim', 'actor.attach', 'actor.detach'])

function opSchema(name: OpName) {
  const actor = ACTOR_REQUIRED.has(name) ? Name : Name.optional()
  const shape: z.ZodRawShape = OP_FIELDS[name]
  return z
    .strictObject({ op: z.literal(name), ...shape, by: z.enum(BY).optional(), actor })
    .meta({ id: schemaId(name) })
}

function schemaId(name: string): string {
  const words = name.split(/[._]/).map((word) => word[0].toUpperCase() + word.slice(1))
  return `Op${words.join('')}`
}

/** One schema an op, by name. */
export const OP_SCHEMAS = Object.fromEntries(
  (Object.keys(OP_FIELDS) as OpName[]).map((name) => [name, opSchema(name)]),
) as Record<OpName, ReturnType<typeof opSchema>>

type OpSchema = ReturnType<typeof opSchema>
export const Op = z
  .discriminatedUnion('op', Object.values(OP_SCHEMAS) as unknown as [OpSchema, ...OpSchema[]])
  .meta({ id: 'Op', description: 'One step of the simulated machine.' })
