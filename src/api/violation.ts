/** Violations on the wire: in results, in notifications, and in the list of a partition. */
import { z } from 'zod'
import { MSR_NAMES } from '../hv/msrs.js'
import { pageQuery } from './paging.js'
import { booleanText } from './params.js'
import { hexU32, U64Out } from './wire.js'

export const AUDIT_MODES = ['off', 'observe', 'enforce'] as const
export type AuditMode = (typeof AUDIT_MODES)[number]
export const SEVERITIES = ['error', 'note'] as const

/** Members of a violation, wherever it is told. */
export const violationFields = {
  invariant: z.string().meta({ description: '`I1` to `I24`, or the name of a rule that is none of them.' }),
  rule: z.string().meta({ description: 'What was looked at; docs/invariants.md lists them.' }),
  severity: z.enum(SEVERITIES),
  msr: U64Out.optional(),
  register: z.string().optional(),
  actor: z.string().optional().meta({ description: 'Who did it, where the op says.' }),
  other: z.string().optional().meta({ description: 'The actor on the other side.' }),
  other_seq: z.int().min(1).optional().meta({ description: 'The earlier op that it collides with.' }),
  text: z.string().meta({ description: 'One sentence.' }),
}

export const Violation = z
  .object({
    seq: z.int().min(0).meta({ description: 'The op that broke it; of liveness, the newest op.' }),
    vcpu: z.int().min(0).optional(),
    ...violationFields,
  })
  .meta({ id: 'Violation' })
export type Violation = z.infer<typeof Violation>

export const ViolationList = z
  .object({
    audit: z.enum(AUDIT_MODES),
    items: z.array(Violation).meta({ description: 'Oldest first.' }),
    total: z.int().min(0).meta({ description: 'Found since the partition was made, listed here or not.' }),
    next_cursor: z.string().optional(),
  })
  .meta({ id: 'ViolationList' })

export const ViolationQuery = z.strictObject({
  severity: z.enum(SEVERITIES).optional(),
  settled: booleanText()
    .optional()
    .meta({
      description:
        'Also judge liveness as of now, as if nothing were still to come: messages that nobody will come ' +
        'back for, interrupts that nobody will take. These are not kept.',
    }),
  ...pageQuery,
})

/** A violation as the auditor has it: -1, 0 and '' where there is nothing to say. */
interface Found {
  readonly invariant: string
  readonly rule: string
  readonly severity: 'error' | 'note'
  readonly seq: number
  readonly vcpu: number
  readonly msr: number
  readonly actor: string
  readonly other: string
  readonly otherSeq: number
  readonly text: string
}

/** For the wire; what there is nothing to say of is left out. */
export function violationView(v: Found): Violation {
  return {
    invariant: v.invariant,
    rule: v.rule,
    severity: v.severity,
    seq: v.seq,
    ...(v.vcpu < 0 ? {} : { vcpu: v.vcpu }),
    ...(v.msr < 0 ? {} : { msr: hexU32(v.msr), register: MSR_NAMES.get(v.msr) ?? hexU32(v.msr) }),
    ...(v.actor === '' ? {} : { actor: v.actor }),
    ...(v.other === '' ? {} : { other: v.other }),
    ...(v.otherSeq === 0 ? {} : { other_seq: v.otherSeq }),
    text: v.text,
  }
}

/**
 * Members of a violation that a notification adds to its own `seq` and `vcpu`, as JSON without the braces.
 */
export function violationMembers(v: Found): string {
  const { seq: _seq, vcpu: _vcpu, ...members } = violationView(v)
  return JSON.stringify(members).slice(1, -1)
}

/** The same where nobody audits, and the machine itself refuses or notes a write to a disabled SynIC. */
export function disabledWriteMembers(msr: number): string {
  const register = MSR_NAMES.get(msr) ?? hexU32(msr)
  return JSON.stringify({
    invariant: 'disabled_write',
    rule: 'disabled_write',
    severity: 'error',
    msr: hexU32(msr),
    register,
    text: `${register} is torn down while SCONTROL is clear`,
  }).slice(1, -1)
}
