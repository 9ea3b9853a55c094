/**
 * The harness: a story that is right is told again and again, each time with one perturbation before one of
 * its steps, and the audit and the guest must see no more of it than they may.
 */

import { encodeOp } from '../api/op-encode.js'
import type { ScenarioDocument } from '../api/scenario.js'
import { differsAfter } from '../audit/rules/snapshot-complete.js'
import { OpWriter } from '../synic/op.js'
import { Partition } from '../synic/partition.js'
import { choicesOf, type RunChoice } from './choices.js'
import type { ScenarioMachine, TraceStep } from './machine.js'
import { PERTURBATIONS, type Perturbation } from './perturbations.js'
import { ScenarioError } from './problems.js'
import { ScenarioRunner } from './run.js'
import { parseShort } from './short-form.js'

/** Runs that one call makes; what is beyond is counted and left out. */
const PERTURBED_RUNS_MAX = 20_000
/** Findings that are listed; all are counted. */
const FINDINGS_MAX = 100
/** Errors of one run that a finding tells. */
const FACTS_MAX = 5

export interface PerturbOptions {
  /** This variant only. */
  readonly variant?: string | undefined
  readonly perturbations?: readonly Perturbation[] | undefined
  /** Before this step only, from 1; one more than there are steps is the end. */
  readonly at?: number | undefined
  /** Only before every so-manieth step. */
  readonly stride?: number
  readonly runsMax?: number
}

/** An error that must not be, something else that the guest saw, or a story that cannot go on. */
type FindingVerdict = 'reported' | 'differs' | 'stopped'

export interface PerturbFinding {
  readonly variant: string
  /** The step it was put before, from 1, and that step's op; '' where that is none. */
  readonly step: number
  readonly op: string
  readonly perturbation: string
  /** The lines that were put there; none: the step itself was refused. */
  readonly lines: readonly string[]
  readonly verdict: FindingVerdict
  readonly facts: readonly string[]
}

export interface PerturbTally {
  readonly perturbation: string
  runs: number
  clean: number
  /** Runs with what the perturbation may bring, by which rules, and before which steps of which variants. */
  allowed: number
  readonly by: Record<string, number>
  readonly at: Record<string, Record<string, number[]>>
  findings: number
}

export interface PerturbReport {
  readonly scenario: string
  /** Variants that were perturbed, and those that are not clean to begin with. */
  readonly variants: readonly string[]
  readonly skipped: readonly string[]
  readonly runs: number
  /** Runs beyond the bound. */
  readonly left_out: number
  readonly tallies: readonly PerturbTally[]
  readonly findings: readonly PerturbFinding[]
}

/** A run that went well: the ops of each step, and what is left of it. */
interface Played {
  readonly steps: readonly (readonly TraceStep[])[]
  readonly machine: ScenarioMachine
  readonly isClean: boolean
}

interface Baseline extends Played {
  readonly choice: RunChoice
}

interface Case {
  readonly baseline: Baseline
  readonly perturbation: Perturbation
  readonly step: number
  readonly lines: readonly string[]
}

interface Trouble {
  readonly verdict: FindingVerdict
  readonly facts: readonly string[]
}

/** What is wrong, or the rules that reported what they may; none: all is clean. */
type Outcome = Trouble | { readonly allowed: readonly string[] }

/**
 * Yields after each run: how many are done, of how many.
 * @throws ScenarioError where the story cannot be told at all
 */
export function* perturb(
  scenario: ScenarioDocument,
  options: PerturbOptions = {},
): Generator<{ readonly done: number; readonly total: number }, PerturbReport> {
  const { variant, perturbations = PERTURBATIONS, runsMax = PERTURBED_RUNS_MAX } = options
  const baselines = choicesOf(scenario, { variant }).map((choice) => ({ choice, ...play(scenario, choice) }))
  const clean = baselines.filter(({ isClean }) => isClean)
  checkPlace(clean, options)
  const all = clean.flatMap((baseline) => casesOf(scenario, baseline, perturbations, options))
  const cases = all.slice(0, runsMax)
  const tallies = new Map(perturbations.map(({ name }) => [name, newTally(name)]))
  const findings: PerturbFinding[] = []
  for (const [i, each] of cases.entries()) {
    const outcome = outcomeOf(scenario, each)
    const tally = tallies.get(each.perturbation.name)
    if (tally !== undefined) count(tally, each, outcome)
    if ('verdict' in outcome && findings.length < FINDINGS_MAX) findings.push(findingOf(each, outcome))
    yield { done: i + 1, total: cases.length }
  }
  const nameOf = ({ choice }: Baseline) => choice.variant
  return {
    scenario: scenario.scenario,
    variants: clean.map(nameOf),
    skipped: baselines.filter(({ isClean }) => !isClean).map(nameOf),
    runs: cases.length,
    left_out: all.length - cases.length,
    tallies: [...tallies.values()],
    findings,
  }
}

/** A place behind the end of every variant is a mistake; where only some end sooner, those have none. */
function checkPlace(baselines: readonly Baseline[], { at }: PerturbOptions): void {
  const longest = baselines.toSorted((a, b) => b.steps.length - a.steps.length).at(0)
  if (at === undefined || longest === undefined) return
  const { steps, choice } = longest
  if (at <= steps.length + 1) return
  const has = baselines.length > 1 ? `the longest variant, ${choice.variant}, has` : 'there are'
  const message = `there is no step ${at}: ${has} ${steps.length} steps, and ${steps.length + 1} is the end`
  throw new ScenarioError([{ path: 'at', line: 0, message }])
}

/** Runs a variant to its end; `before` sees the machine before each step, and at the end. */
function play(
  scenario: ScenarioDocument,
  choice: RunChoice,
  before: (machine: ScenarioMachine, step: number) => void = () => {},
): Played {
  const runner = new ScenarioRunner(scenario, choice)
  const { machine } = runner
  const ops = runner.ops()
  const steps: TraceStep[][] = []
  for (;;) {
    before(machine, steps.length + 1)
    const from = machine.ops
    const next = ops.next()
    if (next.done === true) {
      const { verdict } = next.value.report
      return { steps, machine, isClean: verdict !== 'not_as_expected' && errorsOf(machine).length === 0 }
    }
    // A `restore` takes ops out of the trace; those of this step stand at its end.
    steps.push(machine.ops === from ? [] : machine.trace.slice(from - machine.ops))
  }
}

/** All that can be done to a variant, in the order of its steps. */
function casesOf(
  scenario: ScenarioDocument,
  baseline: Baseline,
  perturbations: readonly Perturbation[],
  { at, stride = 1 }: PerturbOptions,
): Case[] {
  const cases: Case[] = []
  const { steps } = baseline
  play(scenario, baseline.choice, ({ partition }, step) => {
    if (at === undefined ? step % stride !== 0 : step !== at) return
    const place = { partition, done: steps.slice(0, step - 1).flat(), next: steps[step - 1]?.[0] }
    for (const perturbation of perturbations) {
      for (const lines of perturbation.ways(place)) cases.push({ baseline, perturbation, step, lines })
    }
  })
  return cases
}

function outcomeOf(scenario: ScenarioDocument, perturbed: Case): Outcome {
  const { baseline, perturbation, step: at } = perturbed
  let played: Played
  try {
    played = play(scenario, baseline.choice, (machine, step) => {
      if (step === at) insert(machine, perturbed)
    })
  } catch (error) {
    return { verdict: 'stopped', facts: [error instanceof Error ? error.message : String(error)] }
  }
  const allowed = new Set(perturbation.allows.map(({ rule }) => rule))
  const errors = errorsOf(played.machine)
  const wrong = errors.filter(({ rule }) => !allowed.has(rule))
  if (wrong.length > 0) {
    const told = wrong.map(({ invariant, rule, seq, text }) => `${rule} (${invariant}) at op ${seq}: ${text}`)
    return { verdict: 'reported', facts: told.slice(0, FACTS_MAX) }
  }
  const consequences = new Set(errors.map(({ rule }) => rule))
  if (perturbation.changes === 'the story') return { allowed: [...consequences] }
  const difference = differenceOf(perturbed, played)
  if (difference === undefined) return { allowed: [...consequences] }
  const isEdgeLost = perturbation.changes === 'an edge' && lostEdges(played) > lostEdges(baseline)
  return isEdgeLost ? { allowed: ['lost_edge'] } : { verdict: 'differs', facts: [difference] }
}

/** A driver that is at work finds the answer to its last step as it was. */
function insert(machine: ScenarioMachine, { perturbation, baseline, step, lines }: Case): void {
  const answer = machine.partition.effects.copy()
  for (const each of lines.flatMap(parseShort)) {
    if ('op' in each) machine.op(each)
    else if (each.do === 'snap') machine.snap(each.name)
    else if (each.do === 'restore') machine.restore(each.name)
  }
  Object.assign(machine.partition.effects, answer)
  if (perturbation.refuses) refuseNext(machine.partition, baseline.steps[step - 1][0])
}

/** In place of the next op the partition gets a read of a register that does not exist. */
function refuseNext(partition: Partition, { in: { vcpu } }: TraceStep): void {
  const writer = new OpWriter()
  encodeOp({ op: 'msr.read', vcpu, msr: '0x400000ef' }, writer, partition.names, 0)
  partition.apply = () => {
    partition.apply = Partition.prototype.apply
    partition.apply(writer.words, 0)
  }
}

/** What the guest, or who looks at the machine in the end, sees otherwise than without the perturbation. */
function differenceOf({ baseline, step: from }: Case, played: Played): string | undefined {
  for (let i = from - 1; i < Math.max(baseline.steps.length, played.steps.length); i++) {
    const [was, is] = [baseline, played].map(({ steps }) => textOf(steps[i] ?? []))
    if (was !== is) return `step ${i + 1} was ${was || 'nothing'}, and is ${is || 'nothing'}`
  }
  const found = differsAfter(baseline.machine.partition, played.machine.partition)
  return found && `in the end ${found.where} was ${found.one}, and is ${found.other}`
}

function textOf(steps: readonly TraceStep[]): string {
  return steps.map((step) => `${JSON.stringify(step.in)} -> ${JSON.stringify(step.out)}`).join('; ')
}

function errorsOf({ violations }: ScenarioMachine) {
  return violations.filter(({ severity }) => severity === 'error')
}

function lostEdges({ machine }: Played): number {
  return machine.violations.filter(({ rule, severity }) => rule === 'lost_edge' && severity === 'note').length
}

function newTally(perturbation: string): PerturbTally {
  return { perturbation, runs: 0, clean: 0, allowed: 0, by: {}, at: {}, findings: 0 }
}

function count(tally: PerturbTally, { baseline, step }: Case, outcome: Outcome): void {
  tally.runs++
  if ('verdict' in outcome) tally.findings++
  else if (outcome.allowed.length === 0) tally.clean++
  else tally.allowed++
  for (const rule of 'verdict' in outcome ? [] : outcome.allowed) {
    tally.by[rule] = (tally.by[rule] ?? 0) + 1
    const { variant } = baseline.choice
    const { [variant]: steps = [], ...others } = tally.at[rule] ?? {}
    if (steps.at(-1) !== step) steps.push(step)
    tally.at[rule] = { ...others, [variant]: steps }
  }
}

function findingOf({ baseline, perturbation, step, lines }: Case, trouble: Trouble): PerturbFinding {
  const { variant } = baseline.choice
  const op = baseline.steps[step - 1]?.[0]?.in.op ?? ''
  return { variant, step, op, perturbation: perturbation.name, lines, ...trouble }
}
