/** Scenarios on the wire: the document, a run of it, what came of that. docs/scenarios.md explains them. */
import { z } from 'zod'
import { VCPUS_MAX } from '../hv/limits.js'
import { PROFILE_NAMES } from '../synic/profile.js'
import { Op } from './op.js'
import { pageQuery } from './paging.js'
import { KINDS, OptionsIn } from './partition.js'
import { Violation } from './violation.js'
import { Name, U64In, U64Out } from './wire.js'

const STEPS_MAX = 10_000
const VARIANTS_MAX = 100
const TEXT_MAX = 10_000

/** A line in short form; its words are checked when it is read. */
const ShortStep = z.string().max(1000)

const PARAM_RULE = 'a text, a number (above 2^53-1: hex in quotes), true, false, null, or a list of numbers'
/** A larger integer has lost its last digits already. */
const ExactNumber = z
  .number()
  .refine((value) => !Number.isInteger(value) || Number.isSafeInteger(value), { error: PARAM_RULE })
export const Param = z.union(
  [z.string().max(TEXT_MAX), ExactNumber, z.boolean(), z.null(), z.array(ExactNumber)],
  {
    error: PARAM_RULE,
  },
)
const PARAM_NAME_RULE = '1 to 64 letters, digits or "_"'
const Params = z.record(z.string().regex(/^\w{1,64}$/, { error: PARAM_NAME_RULE }), Param)
export type ParamValues = z.infer<typeof Params>

const GIVES_RULE = 'what it returns: 0, or an errno such as -22'
const COUNT_RULE = 'a count of ops: an integer from 0'
const Count = z.int({ error: COUNT_RULE }).min(0, { error: COUNT_RULE }).optional()

/** What a driver does: one of its procedures, on the vCPUs of the partition unless said otherwise. */
export const RunStep = z.strictObject({
  run: z.string().max(100).meta({ description: 'A procedure: `synicd scenario procedures` lists them.' }),
  with: Params.optional(),
  kernel: Name.optional().meta({ description: 'Which kernel runs it; one for all unless given.' }),
  gives: z
    .int({ error: GIVES_RULE })
    .optional()
    .meta({ description: 'What it must return; no error unless given.' }),
})
export type RunStep = z.infer<typeof RunStep>

const Step = z.union([ShortStep, RunStep, Op], {
  error: 'a line (v0 SIMP=0x10001), a procedure ({ run: vmbus.up }) or an op ({ op: apic.ack, vcpu: 0 })',
})
export type ScenarioStep = z.infer<typeof Step>

/** Part of a violation; what is named must be so. */
const ViolationPattern = z.strictObject({
  invariant: z.string().optional(),
  rule: z.string().optional(),
  severity: z.enum(['error', 'note']).optional(),
  vcpu: z.int().optional(),
  register: z.string().optional(),
  actor: z.string().optional(),
  other: z.string().optional(),
  times: z.int().min(1).optional().meta({ description: 'How often; at least once unless given.' }),
})
export type ViolationPattern = z.infer<typeof ViolationPattern>

const Expectation = z.union(
  [
    z.literal('clean'),
    z.strictObject({
      violations: z.array(ViolationPattern).optional().meta({
        description: 'Each of these is reported, and no other error.',
      }),
      faults: Count.meta({
        description: 'How many ops end in #GP or #UD; only those that a step speaks of unless given.',
      }),
      refused: Count.meta({
        description: 'How many ops end in an errno; only those that a step speaks of unless given.',
      }),
      registers: z.record(z.string(), U64In).optional().meta({
        description: 'What registers hold in the end: `v0.SINT2: 0x100f3`.',
      }),
    }),
  ],
  { error: 'clean, or what is reported: violations, faults, refused, registers' },
)
export type Expectation = z.infer<typeof Expectation>

const PartitionPart = z.strictObject({
  kind: z.enum(KINDS).optional(),
  profile: z.enum(PROFILE_NAMES).optional(),
  vcpus: z.int().min(0).max(VCPUS_MAX).optional(),
  gpa_limit: U64In.optional(),
  options: OptionsIn.optional(),
})

const Steps = z.array(Step).max(STEPS_MAX)

/** One way the story goes: other parameters, other steps or another machine, and what comes of it. */
const Variant = z.strictObject({
  about: z.string().max(TEXT_MAX).optional(),
  with: Params.optional(),
  partition: PartitionPart.optional(),
  steps: Steps.optional(),
  expect: Expectation,
})

export const ScenarioDocument = z
  .strictObject({
    scenario: Name.meta({ description: 'Its name.' }),
    title: z.string().max(TEXT_MAX),
    source: z.string().max(TEXT_MAX).meta({ description: 'Where the story comes from.' }),
    about: z.string().max(TEXT_MAX).optional(),
    zoo: z
      .array(z.string().regex(/^BZ-\d\d$/))
      .optional()
      .meta({ description: 'Known bugs it tells.' }),
    partition: PartitionPart.optional(),
    with: Params.optional().meta({ description: 'Parameters and their values: `$name` in steps.' }),
    steps: Steps.optional(),
    variants: z
      .record(Name, Variant)
      .refine((variants) => Object.keys(variants).length <= VARIANTS_MAX, {
        error: `at most ${VARIANTS_MAX} variants`,
      })
      .optional(),
    expect: Expectation.optional(),
  })
  .meta({ id: 'ScenarioDocument' })
export type ScenarioDocument = z.infer<typeof ScenarioDocument>

const ScenarioSummary = z
  .object({
    name: Name,
    title: z.string(),
    source: z.string(),
    zoo: z.array(z.string()),
    variants: z.array(z.string()),
    with: Params,
  })
  .meta({ id: 'ScenarioSummary' })
export const ScenarioList = z.object({ items: z.array(ScenarioSummary) }).meta({ id: 'ScenarioList' })

const ScenarioViolation = Violation.extend({
  op: z.string().optional().meta({
    description:
      'The op it was found at; `settle` where that step judged liveness; none at the end of the run.',
  }),
})

const ScenarioFault = z.object({
  seq: z.int().min(1),
  step: z.string().meta({ description: 'In the document, as `steps/3`; empty before the first.' }),
  op: z.string(),
  vcpu: z.int().min(0).optional(),
  register: z.string().optional(),
  value: U64Out.optional().meta({ description: 'What was to be written.' }),
  actor: z.string().optional(),
})

export const ScenarioReport = z
  .object({
    scenario: Name,
    variant: z.string().meta({ description: 'Empty where the scenario has none.' }),
    params: Params,
    verdict: z.enum(['as_expected', 'not_as_expected', 'unjudged']).meta({
      description: 'unjudged: the scenario says nothing of these parameters.',
    }),
    missing: z.array(z.string()).meta({ description: 'What was to come and did not.' }),
    unexpected: z.array(z.string()).meta({ description: 'What came and was not to.' }),
    ops: z.int().min(0),
    faults: z.int().min(0).meta({ description: 'Ops that ended in #GP or #UD.' }),
    faulted: z.array(ScenarioFault).meta({ description: 'Which ops those are: the first of them.' }),
    refused: z.int().min(0).meta({ description: 'Ops that ended in an errno.' }),
    violations: z.array(ScenarioViolation),
  })
  .meta({ id: 'ScenarioReport' })
export type ScenarioFault = z.infer<typeof ScenarioFault>
export type ScenarioViolation = z.infer<typeof ScenarioViolation>
export type ScenarioReport = z.infer<typeof ScenarioReport>

const asked = {
  with: Params.optional(),
  variant: z.string().max(64).optional().meta({ description: 'Which variant; all unless given.' }),
}
export const RunRequest = z.strictObject(asked).meta({
  id: 'RunRequest',
  description: 'Without a variant and without parameters every variant is run.',
  examples: [{ with: { mshv: 'v4' } }],
})
/** A document as text has no place beside it for a variant's name. */
export const OwnRunQuery = z.strictObject({
  variant: asked.variant.meta({
    description: 'Which variant, where the body is YAML; with JSON it may stand in the body, too.',
    examples: ['v4'],
  }),
})
export const OwnRunRequest = z
  .strictObject({ document: ScenarioDocument, ...asked })
  .meta({ id: 'OwnRunRequest' })
export type OwnRunRequest = z.infer<typeof OwnRunRequest>

const RUN_STATES = ['running', 'done', 'failed', 'cancelled'] as const
const runSummary = {
  id: Name,
  scenario: Name,
  state: z.enum(RUN_STATES).meta({ description: 'running: it waits for its turn, or has it.' }),
  progress: z.object({
    done: z.int().min(0).meta({ description: 'Variants that are done.' }),
    of: z.int().min(1),
    ops: z.int().min(0).meta({ description: 'Ops so far, of all variants.' }),
  }),
  error: z.string().optional().meta({ description: 'Why it failed.' }),
}
export const Run = z.object({ ...runSummary, reports: z.array(ScenarioReport) }).meta({ id: 'Run' })
export type Run = z.infer<typeof Run>

export const RunList = z
  .object({
    items: z.array(z.object(runSummary).meta({ id: 'RunSummary' })),
    next_cursor: z.string().optional().meta({ description: 'Absent on the last page.' }),
  })
  .meta({ id: 'RunList' })
export const RunQuery = z.strictObject({
  state: z.enum(RUN_STATES).optional().meta({ description: 'Only runs in this state.' }),
  ...pageQuery,
})

export const ScenarioPath = z.strictObject({
  name: z.string().meta({ description: 'Of the library.', examples: ['kexec-l1vh'] }),
})
export const RunPath = z.strictObject({ rid: z.string().meta({ description: 'Run.', examples: ['r1'] }) })
export const TraceText = z.string()
export const RunTraceQuery = z.strictObject({
  variant: z.string().max(64).optional().meta({ description: 'Which; may be left out where there is one.' }),
})
