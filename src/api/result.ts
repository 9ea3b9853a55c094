/** Results on the wire: effects to JSON text, written directly, and the schema that describes it. */
import { z } from 'zod'
import { hexOfBytes } from '../hv/hex.js'
import * as e from '../synic/effects.js'
import { disabledWriteMembers, violationFields } from './violation.js'
import { hexU32, hexU64, U64Out } from './wire.js'

const Vcpu = z.int().min(0)
const IrqOut = z.object({ vcpu: Vcpu, vector: z.int().min(0).max(255) })
const ExitOut = z.object({ vcpu: Vcpu, msr: U64Out, control: U64Out, evt_page: U64Out, msg_page: U64Out })
const HcallExit = z.object({ vcpu: Vcpu, input: U64Out, params: z.array(U64Out).length(2) })
const DroppedOut = z.object({
  vcpu: Vcpu,
  sint: z.int().min(0),
  nested: z.boolean().optional(),
  reason: z.int(),
})
const ResultViolation = z.object({ vcpu: Vcpu.optional(), ...violationFields })

export const Result = z
  .object({
    ok: z.boolean().meta({ description: 'False exactly when fault or errno is set.' }),
    fault: z.enum(['gp', 'ud']).optional().meta({ description: 'The guest instruction faulted.' }),
    errno: z.int().negative().optional().meta({ description: 'What the ioctl returned.' }),
    value: U64Out.optional().meta({ description: 'What was read; the old content; RAX of a hypercall.' }),
    vector: z
      .int()
      .min(-1)
      .max(255)
      .optional()
      .meta({ description: 'Vector taken, -1 if none was deliverable.' }),
    status: z.int().min(0).optional().meta({ description: 'HV_STATUS code.' }),
    delivery: z.enum(e.DELIVERIES).optional(),
    hex: z.string().optional(),
    halted: z.boolean().optional().meta({ description: 'The vCPU is blocked until a wake.' }),
    dump: z.record(z.string(), z.unknown()).optional(),
    irqs: z.array(IrqOut).optional(),
    exits: z.array(ExitOut).optional(),
    acks: z.array(z.object({ gsi: z.int().min(0) })).optional(),
    hcall_exit: HcallExit.optional(),
    signals: z.array(z.object({ conn: z.int().min(0) })).optional(),
    wakes: z.array(z.object({ vcpu: Vcpu })).optional(),
    dropped: z.array(DroppedOut).optional(),
    doorbells: z.array(z.object({ port: z.int().min(0) })).optional(),
    lifecycle: z.array(z.enum(e.LIFECYCLES)).optional(),
    violations: z.array(ResultViolation).optional().meta({
      description:
        'Found in this op, where it names an actor; `disabled_write` in any. All are at /violations.',
    }),
  })
  .meta({ id: 'Result', description: 'What an op did. Fields that would be null or empty are left out.' })
export type Result = z.infer<typeof Result>

const OK = '{"ok":true}'
const FAULTS = ['', 'gp', 'ud']

/** The result of the op applied last, as JSON text. */
export function resultText(effects: e.Effects): string {
  const { has } = effects
  if (effects.length === 0 && has === 0 && effects.ok) return OK
  let text = effects.ok ? '{"ok":true' : '{"ok":false'
  if (effects.fault !== e.FAULT_NONE) text += `,"fault":"${FAULTS[effects.fault]}"`
  if (effects.errno !== 0) text += `,"errno":${effects.errno}`
  if (has !== 0) text += outcomeText(effects)
  if (effects.length !== 0) text += consequencesText(effects)
  if ((has & e.HAS_VIOLATIONS) !== 0) text += `,"violations":${effects.violations}`
  return `${text}}`
}

function outcomeText(effects: e.Effects): string {
  const { has } = effects
  let text = ''
  if ((has & e.HAS_VALUE) !== 0) text += `,"value":"${hexU64(effects.valueLo, effects.valueHi)}"`
  if ((has & e.HAS_VECTOR) !== 0) text += `,"vector":${effects.vector}`
  if ((has & e.HAS_STATUS) !== 0) text += `,"status":${effects.status}`
  if ((has & e.HAS_DELIVERY) !== 0) text += `,"delivery":"${e.DELIVERIES[effects.delivery]}"`
  if ((has & e.HAS_BYTES) !== 0) text += `,"hex":"${hexOfBytes(effects.bytes)}"`
  if ((has & e.HAS_HALTED) !== 0 && effects.halted) text += ',"halted":true'
  if ((has & e.HAS_DUMP) !== 0) text += `,"dump":${JSON.stringify(effects.dump)}`
  return text
}

/** Lists of a result, in the order they are written. */
const LISTS = [
  'irqs',
  'exits',
  'acks',
  'signals',
  'wakes',
  'dropped',
  'doorbells',
  'lifecycle',
  'violations',
] as const
const VIOLATIONS_LIST = LISTS.indexOf('violations')
const LIST_OF_KIND: Readonly<Record<number, number>> = {
  [e.EFFECT_IRQ]: 0,
  [e.EFFECT_EXIT]: 1,
  [e.EFFECT_ACK]: 2,
  [e.EFFECT_SIGNAL]: 3,
  [e.EFFECT_WAKE]: 4,
  [e.EFFECT_DROPPED]: 5,
  [e.EFFECT_DOORBELL]: 6,
  [e.EFFECT_LIFECYCLE]: 7,
  [e.EFFECT_VIOLATION]: VIOLATIONS_LIST,
}

function consequencesText(effects: e.Effects): string {
  const { words } = effects
  const lists: string[][] = []
  let hcallExit = ''
  for (let at = 0; at < effects.length; at += e.EFFECT_WORDS[words[at]]) {
    const list = LIST_OF_KIND[words[at]]
    if (list === undefined) {
      if (words[at] === e.EFFECT_HCALL_EXIT) hcallExit = hcallExitText(words, at)
    } else if (lists[list] === undefined) lists[list] = [consequenceText(words, at)]
    else lists[list].push(consequenceText(words, at))
  }
  let text = ''
  // An auditor tells more of the violations that the machine itself has seen.
  if ((effects.has & e.HAS_VIOLATIONS) !== 0) delete lists[VIOLATIONS_LIST]
  for (let i = 0; i < lists.length; i++) {
    // Joined, a long list is one flat text; added up it would be a rope of many times the size.
    if (lists[i] !== undefined) text += `,"${LISTS[i]}":[${lists[i].join(',')}]`
  }
  return text + hcallExit
}

function consequenceText(words: Int32Array, at: number): string {
  const a = words[at + 1]
  const u64 = (i: number) => `"${hexU64(words[at + i], words[at + i + 1])}"`
  switch (words[at]) {
    case e.EFFECT_IRQ:
      return `{"vcpu":${a},"vector":${words[at + 2]}}`
    case e.EFFECT_EXIT: {
      const pages = `"evt_page":${u64(5)},"msg_page":${u64(7)}`
      return `{"vcpu":${a},"msr":"${hexU32(words[at + 2])}","control":${u64(3)},${pages}}`
    }
    case e.EFFECT_ACK:
      return `{"gsi":${a}}`
    case e.EFFECT_SIGNAL:
      return `{"conn":${a}}`
    case e.EFFECT_WAKE:
      return `{"vcpu":${a}}`
    case e.EFFECT_DROPPED: {
      const nested = (words[at + 2] & 0x1_0000) !== 0 ? ',"nested":true' : ''
      return `{"vcpu":${a},"sint":${(words[at + 2] >> 8) & 0xff}${nested},"reason":${words[at + 3]}}`
    }
    case e.EFFECT_DOORBELL:
      return `{"port":${a}}`
    case e.EFFECT_LIFECYCLE:
      return `"${e.LIFECYCLES[a]}"`
    default:
      return `{"vcpu":${words[at + 2]},${disabledWriteMembers(words[at + 3])}}`
  }
}

function hcallExitText(words: Int32Array, at: number): string {
  const u64 = (i: number) => `"${hexU64(words[at + i], words[at + i + 1])}"`
  return `,"hcall_exit":{"vcpu":${words[at + 1]},"input":${u64(2)},"params":[${u64(4)},${u64(6)}]}`
}
