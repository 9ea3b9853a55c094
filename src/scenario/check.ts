/** What a schema cannot see of a scenario: whether its steps are understood, and its registers exist. */

import { didYouMean, registerHint } from '../api/did-you-mean.js'
import type { WireOp } from '../api/op-decode.js'
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import type { Expectation, ParamValues, RunStep, ScenarioDocument, ScenarioStep } from '../api/scenario.js'
import { parseMsr } from '../api/wire.js'
import { RULES } from '../audit/rules.js'
import { NAMES_MAX } from '../hv/limits.js'
import { SINT_COUNT } from '../hv/registers.js'
import { NameTable } from '../synic/names.js'
import { OpWriter } from '../synic/op.js'
import { choicesOf, filledLine, filledParams, machineOf, type RunChoice, stepsOf } from './choices.js'
import { STEPS_MAX } from './limits.js'
import { PlannedRoster } from './planned-roster.js'
import { StepError } from './problems.js'
import { paramProblem } from './procedure-params.js'
import { procedureList, procedureOf } from './procedures.js'
import { parseShort } from './short-form.js'
import { isResult, RESULTS, splitResult } from './step-result.js'
import { FIRST_KERNEL, type FieldProblem, kernelVcpus, vcpusProblem } from './vcpu-choice.js'

export interface PlacedProblem {
  readonly path: string
  readonly message: string
}

/** Everything that is wrong with a document of the right shape. */
export function checkDocument(scenario: ScenarioDocument): PlacedProblem[] {
  const variants = Object.entries(scenario.variants ?? {})
  // Shared steps are looked at once for each variant.
  const lists = [scenario.steps, ...variants.map(([, { steps = scenario.steps }]) => steps)]
  const count = lists.reduce((sum, steps) => sum + (steps?.length ?? 0), 0)
  if (count > STEPS_MAX) return [{ path: '', message: `must have at most ${STEPS_MAX} steps in all` }]
  const idle = variants.filter(([, { steps = scenario.steps }]) => steps === undefined)
  if (idle.length > 0) {
    return idle.map(([name]) => ({ path: `variants/${name}`, message: 'must have steps, or the scenario' }))
  }
  if (variants.length === 0 && scenario.steps === undefined) {
    return [{ path: '', message: 'must have steps, or variants with steps' }]
  }
  const problems = [
    ...choicesOf(scenario).flatMap((choice) => checkChoice(scenario, choice)),
    ...variants.flatMap(([name]) => checkParams(scenario, name)),
    ...checkExpected(scenario.expect, 'expect'),
    ...variants.flatMap(([name, { expect }]) => checkExpected(expect, `variants/${name}/expect`)),
  ]
  // Variants share steps, and so their problems.
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem])).values()]
}

/** A variant's parameter is one of the scenario's, or its steps ask for it: another is a slip. */
function checkParams(scenario: ScenarioDocument, variant: string): PlacedProblem[] {
  const own = Object.keys(scenario.variants?.[variant]?.with ?? {})
  const base = Object.keys(scenario.with ?? {})
  const asked = JSON.stringify(stepsOf(scenario, variant).steps).match(/\$\w+/g) ?? []
  const known = [...new Set([...base, ...asked.map((name) => name.slice(1))])]
  return own
    .filter((name) => !known.includes(name))
    .map((name) => ({
      path: `variants/${variant}/with/${name}`,
      message: `is no parameter: the steps ask for ${known.join(', ') || 'none'}${didYouMean(name, known)}`,
    }))
}

/** What is wrong with the steps, with these parameters in them. */
export function checkChoice(scenario: ScenarioDocument, { variant, params }: RunChoice): PlacedProblem[] {
  const { at, steps } = stepsOf(scenario, variant)
  const { vcpus } = machineOf(scenario, variant)
  const roster = new PlannedRoster(vcpus)
  const writer = new OpWriter()
  const names = new NameTable(NAMES_MAX)
  const checkOp = (op: unknown): void => {
    writer.clear()
    encodeOp(op, writer, names, 0)
  }
  return steps.flatMap((step, i) => {
    const problem = problemOf(step, { params, checkOp, roster })
    if (problem === undefined) return []
    const { field, message } = problem
    return [{ path: [...at, i, ...(field === undefined ? [] : [field])].join('/'), message }]
  })
}

/** What a step of the document meets when its turn comes. */
interface Turn {
  readonly params: ParamValues
  readonly checkOp: (op: unknown) => void
  readonly roster: PlannedRoster
}

function problemOf(step: ScenarioStep, turn: Turn): FieldProblem | undefined {
  try {
    if (typeof step === 'string') return checkLine(step, turn)
    return 'run' in step ? checkRun(step, turn) : checkOpStep(step, turn)
  } catch (error) {
    if (!(error instanceof StepError) && !(error instanceof OpInputError)) throw error
    return { message: error.message }
  }
}

function checkOpStep(step: Exclude<ScenarioStep, string | RunStep>, turn: Turn): FieldProblem | undefined {
  turn.checkOp(step)
  const message = turn.roster.note(step)
  if (message !== undefined) return { field: 'vcpu', message }
  const sint = noSint(step)
  return sint === undefined ? undefined : { field: 'sint', message: sint }
}

function checkLine(line: string, { params, checkOp, roster }: Turn): FieldProblem | undefined {
  const { body, expected } = splitResult(filledLine(line, params))
  if (expected !== undefined && !isResult(expected)) {
    throw new StepError(`"${expected}" is no result: ${RESULTS}`)
  }
  for (const each of parseShort(body)) {
    if ('op' in each) checkWords(each, checkOp)
    const message = roster.note(each) ?? noSint(each)
    // Whoever says what comes of it means it.
    if (expected === undefined && message !== undefined) throw new StepError(message)
  }
  return undefined
}

function noSint(step: object): string | undefined {
  const { sint } = step as { sint?: unknown }
  return typeof sint === 'number' && sint >= SINT_COUNT
    ? `there is no SINT ${sint}: a vCPU has SINT0 to SINT${SINT_COUNT - 1}`
    : undefined
}

/** The line does not say which field a word becomes. */
function checkWords(op: WireOp, checkOp: (op: unknown) => void): void {
  try {
    checkOp(op)
  } catch (error) {
    if (!(error instanceof OpInputError)) throw error
    const word = String(op[error.path])
    const hint = error.path === 'msr' ? registerHint(word) : ''
    throw new StepError(`"${word}" must be ${error.rule}${hint}`)
  }
}

function checkRun(step: RunStep, { params, roster }: Turn): FieldProblem | undefined {
  const procedure = procedureOf(step.run)
  if (procedure === undefined) {
    const meant = didYouMean(step.run, PROCEDURE_NAMES)
    return { field: 'run', message: `"${step.run}" is no procedure${meant || NO_PROCEDURE}` }
  }
  const given = filledParams(step, params)
  const kernel = step.kernel ?? FIRST_KERNEL
  const problem =
    paramProblem(step.run, procedure, given) ?? vcpusProblem(step.run, procedure, kernel, given, roster)
  if (problem === undefined) {
    roster.begin(kernel, kernelVcpus(procedure, given, roster))
    return undefined
  }
  const { field, message } = problem
  return field === undefined ? problem : { field: `with/${field}`, message }
}

const NO_PROCEDURE = '; `synicd scenario procedures` lists them'
const PROCEDURE_NAMES = procedureList().map(({ name }) => name)

/** A register as expectations name it: `v0.SINT2`, or `SINT2` of vCPU 0. */
export function placeOf(text: string): { vcpu: number; msr: number } | undefined {
  const [, vcpu = '0', register] = /^(?:v(\d{1,4})\.)?(\w+)$/.exec(text) ?? []
  const msr = parseMsr(register)
  return msr === undefined ? undefined : { vcpu: Number(vcpu), msr }
}

const RULE_NAMES = new Set(RULES.map(({ rule }) => rule))
const INVARIANTS = new Set(RULES.map(({ invariant }) => invariant))

function checkExpected(expect: Expectation | undefined, path: string): PlacedProblem[] {
  if (typeof expect !== 'object') return []
  const { registers = {}, violations = [] } = expect
  const strange = Object.keys(registers).filter((name) => placeOf(name) === undefined)
  return [
    ...strange.map((name) => ({ path: `${path}/registers/${name}`, message: NO_REGISTER })),
    ...violations.flatMap(({ invariant, rule, register }, i) => {
      const at = `${path}/violations/${i}`
      return [
        ...problemIf(
          rule !== undefined && !RULE_NAMES.has(rule),
          `${at}/rule`,
          `is no rule${didYouMean(rule ?? '', [...RULE_NAMES]) || NO_RULE}`,
        ),
        ...problemIf(
          invariant !== undefined && !INVARIANTS.has(invariant),
          `${at}/invariant`,
          'is no invariant: I1 to I24 without I19, or the rule of its own that it is',
        ),
        ...problemIf(
          register !== undefined && placeOf(register) === undefined,
          `${at}/register`,
          NO_REGISTER,
        ),
      ]
    }),
  ]
}

const NO_RULE = '; docs/invariants.md lists them'
const NO_REGISTER = 'is no register; write v0.SINT2'

const problemIf = (isWrong: boolean, path: string, message: string): PlacedProblem[] =>
  isWrong ? [{ path, message }] : []
