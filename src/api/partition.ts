/** Partitions on the wire: what one is created with, how it is shown, what may be changed. */
import { z } from 'zod'
import { GPA_LIMIT_PAGES_MAX, REFERENCE_TIME_MAX, VCPUS_MAX } from '../hv/limits.js'
import { DISABLED_WRITES, IRQCHIPS, PROFILE_NAMES } from '../synic/profile.js'
import { pageQuery } from './paging.js'
import { Snapshot } from './snapshot.js'
import { AUDIT_MODES } from './violation.js'
import { halves, Name, parseU64, U32, U64In, U64Out } from './wire.js'

export const KINDS = ['root', 'nested_root', 'l1vh', 'guest'] as const
export const CLOCKS = ['virtual', 'realtime'] as const
export const LABELS_MAX = 64
const LABEL_KEY_RULE = 'a label: 1 to 63 letters, digits, "_", ".", "/" or "-", not beginning with a sign'
const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$/

const LabelKey = z.string().regex(LABEL_KEY, { error: LABEL_KEY_RULE })
const LabelValue = z.string().max(256)
const countRule = { error: `at most ${LABELS_MAX} labels` }
const fewEnough = (labels: object) => Object.keys(labels).length <= LABELS_MAX

const Labels = z
  .record(LabelKey, LabelValue)
  .refine(fewEnough, countRule)
  .meta({ id: 'Labels', examples: [{ team: 'hyperv' }] })
const LabelsPatch = z
  .record(LabelKey, LabelValue.nullable())
  .refine(fewEnough, countRule)
  .meta({ description: 'Labels to set; null takes one away; others stay.' })

const privileges = {
  eax: U32.meta({ description: 'EAX of CPUID leaf 0x40000003.' }),
  ebx: U32,
  edx: U32,
}
const options = {
  enforce_cpuid: z.boolean().meta({ description: 'MSRs whose CPUID bit is clear fault.' }),
  scontrol_reset: U32.meta({ description: 'SCONTROL after reset.' }),
  disabled_write: z
    .enum(DISABLED_WRITES)
    .meta({ description: 'What a teardown write does while SCONTROL is clear.' }),
  masked_blocks_messages: z.boolean(),
  apicv: z.boolean(),
  apic_enabled_at_reset: z.boolean(),
  pages_gpa_check: z.boolean().meta({ description: 'False: there is memory behind every address.' }),
  compat_bugs: z.boolean(),
  implicit_irqfds: z
    .boolean()
    .meta({ description: 'Every GSI behaves as if an irqfd with a resampler were bound to it.' }),
  split_delivery: z.boolean().meta({ description: 'Host posts stop half-way and go on by `host.step`.' }),
  irqchip: z.enum(IRQCHIPS),
  nested_root_l1_enabled: z.boolean(),
}

/** Options in force: all of them. */
const Options = z
  .strictObject({ ...options, cpuid: z.strictObject(privileges) })
  .meta({ id: 'PartitionOptions' })
/** What a request bends; each may be left out. */
export const OptionsIn = z
  .strictObject({ ...options, cpuid: z.strictObject(privileges).partial() })
  .partial()
  .meta({ id: 'PartitionOptionsIn' })

const GPA_LIMIT_RULE = 'a multiple of 0x1000 from 0x1000 to 0x10000000000000'
/** Pages below a limit, or undefined if it is none. */
export function gpaLimitPages(value: unknown): number | undefined {
  if (!parseU64(value) || (halves.lo & 0xfff) !== 0) return undefined
  const pages = (halves.hi >>> 0) * 0x10_0000 + (halves.lo >>> 12)
  return pages >= 1 && pages <= GPA_LIMIT_PAGES_MAX ? pages : undefined
}
const GpaLimitIn = U64In.refine((value) => gpaLimitPages(value) !== undefined, { error: GPA_LIMIT_RULE })

const Profile = z.enum(PROFILE_NAMES)
const Kind = z.enum(KINDS)
const Clock = z.enum(CLOCKS).meta({
  description: 'virtual: only `clock.advance` moves it; realtime: it follows the wall clock.',
})
const Audit = z.enum(AUDIT_MODES).meta({
  description:
    'observe (unless given): break an invariant, and it is told; enforce: besides, a teardown write to a ' +
    'disabled SynIC faults, except in a guest.',
})
const Durability = z.enum(['memory']).meta({ description: 'Where the state is kept.' })

/** Fields that a snapshot decides. */
const NOT_WITH_SNAPSHOT = ['kind', 'profile', 'vcpus', 'gpa_limit', 'options'] as const

export const PartitionCreate = z
  .strictObject({
    id: Name.optional().meta({ description: 'Chosen by the server unless given.' }),
    kind: Kind.optional(),
    profile: Profile.optional(),
    vcpus: z
      .int()
      .min(0)
      .max(VCPUS_MAX)
      .optional()
      .meta({ description: 'vCPUs created with indexes from 0; 1 unless given.' }),
    gpa_limit: GpaLimitIn.optional().meta({ description: 'End of guest memory; 4 GiB unless given.' }),
    clock: Clock.optional(),
    options: OptionsIn.optional(),
    labels: Labels.optional(),
    durability: Durability.optional(),
    audit: Audit.optional(),
    snapshot: Snapshot.optional().meta({ description: 'Restores this state instead.' }),
  })
  .superRefine((body, context) => {
    if (body.snapshot === undefined) return
    for (const field of NOT_WITH_SNAPSHOT) {
      if (body[field] === undefined) continue
      context.addIssue({ code: 'custom', path: [field], message: 'absent: the snapshot says it' })
    }
  })
  .meta({ id: 'PartitionCreate', examples: [{ id: 'p1', profile: 'tlfs', vcpus: 2 }] })

const summary = {
  id: Name,
  kind: Kind,
  profile: Profile,
  vcpus: z.int().min(0).meta({ description: 'How many there are.' }),
  gpa_limit: U64Out,
  clock: Clock,
  state: z.enum(['running', 'paused']),
  seq: z.int().min(0).meta({ description: 'Number of the newest op.' }),
  now: z.int().min(0).max(REFERENCE_TIME_MAX).meta({ description: 'Reference time, 100 ns ticks.' }),
  labels: z.record(z.string(), z.string()),
  durability: Durability,
  audit: Audit,
  created_at: z.iso.datetime(),
}

export const Apicv = z
  .object({
    inhibited: z.boolean().meta({ description: 'Some vCPU uses auto-EOI, so APICv is off.' }),
    auto_eoi_users: z.int().min(0).meta({ description: 'vCPUs with an unmasked auto-EOI SINT.' }),
  })
  .meta({ id: 'Apicv', description: 'A fact of the whole partition (KVM).' })

const PartitionSummary = z.object(summary).meta({ id: 'PartitionSummary' })
export const PartitionView = z
  .object({ ...summary, options: Options, apicv: Apicv, kernel: z.string(), memory_pages: z.int().min(0) })
  .meta({ id: 'Partition' })
export type PartitionView = z.infer<typeof PartitionView>

export const PartitionList = z
  .object({
    items: z.array(PartitionSummary),
    next_cursor: z.string().optional().meta({ description: 'Absent on the last page.' }),
  })
  .meta({ id: 'PartitionList' })

export const PartitionPatch = z
  .strictObject({ labels: LabelsPatch.optional(), state: z.enum(['running', 'paused']).optional() })
  .meta({ id: 'PartitionPatch', examples: [{ state: 'paused' }] })

export const PartitionFork = z
  .strictObject({ id: Name.optional(), labels: Labels.optional() })
  .meta({ id: 'PartitionFork', examples: [{ id: 'p2' }] })

const LABEL_RULE = 'key:value'
export const PartitionQuery = z.strictObject({
  label: z
    .array(
      z
        .string()
        .max(320)
        .regex(/^[^:]+:/, { error: LABEL_RULE }),
    )
    .max(LABELS_MAX)
    .optional()
    .meta({ description: 'Only partitions with this label, as `key:value`; more than one: with all.' }),
  ...pageQuery,
})
