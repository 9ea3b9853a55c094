/** What a schema cannot see of a scenario: whether its steps are understood, and its registers exist. */
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import type { Expectation, ParamValues, RunStep, ScenarioDocument, ScenarioStep } from '../api/scenario.js'
import { parseMsr } from '../api/wire.js'
import { RULES } from '../audit/rules.js'
import { NAMES_MAX } from '../hv/limits.js'
import { NameTable } from '../synic/names.js'
import { OpWriter } from '../synic/op.js'
import { choicesOf, filledLine, filledParams, machineOf, type RunChoice, stepsOf } from './choices.js'
import { STEPS_MAX } from './limits.js'
import { StepError } from './problems.js'
import { paramProblem } from './procedure-params.js'
import { procedureOf } from './procedures.js'
import { parseShort } from './short-form.js'
import { isResult, RESULTS, splitResult } from './step-result.js'

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
    ...checkExpected(scenario.expect, 'expect'),
    ...variants.flatMap(([name, { expect }]) => checkExpected(expect, `variants/${name}/expect`)),
  ]
  // Variants share steps, and so their problems.
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem])).values()]
}

/** What is wrong with the steps, with these parameters in them. */
export function checkChoice(scenario: ScenarioDocument, { variant, params }: RunChoice): PlacedProblem[] {
  const { at, steps } = stepsOf(scenario, variant)
  const { vcpus } = machineOf(scenario, variant)
  const isThere = (vcpu: number) => vcpu < vcpus || steps.some((step) => creates(step, vcpu))
  const writer = new OpWriter()
  const names = new NameTable(NAMES_MAX)
  const check = (op: unknown): void => {
    writer.clear()
    encodeOp(op, writer, names, 0)
  }
  return steps.flatMap((step, i) => {
    try {
      checkStep(step, params, { checkOp: check, isThere, vcpus })
      return []
    } catch (error) {
      if (!(error instanceof StepError) && !(error instanceof OpInputError)) throw error
      return [{ path: [...at, i].join('/'), message: error.message }]
    }
  })
}

/** A vCPU may come later; a line with a `$` in it may create any. */
function creates(step: ScenarioStep, vcpu: number): boolean {
  if (typeof step !== 'string')
    return 'op' in step && step.op === 'vcpu.create' && Reflect.get(step, 'vcpu') === vcpu
  return new RegExp(`^create v(?:${vcpu}|\\$.*)(?: |$)`).test(step)
}

interface Machine {
  readonly checkOp: (op: unknown) => void
  readonly isThere: (vcpu: number) => boolean
  /** How many the partition begins with. */
  readonly vcpus: number
}

function checkStep(step: ScenarioStep, params: ParamValues, machine: Machine): void {
  const { checkOp } = machine
  if (typeof step !== 'string') {
    if ('run' in step) checkRun(step, params)
    else checkOp(step)
    return
  }
  const { body, expected } = splitResult(filledLine(step, params))
  if (expected !== undefined && !isResult(expected)) {
    throw new StepError(`"${expected}" is no result: ${RESULTS}`)
  }
  for (const each of parseShort(body)) {
    // Whoever says what comes of it means it.
    if (expected === undefined) checkVcpu(each, machine)
    if (!('op' in each)) continue
    try {
      checkOp(each)
    } catch (error) {
      if (!(error instanceof OpInputError)) throw error
      // The line does not say which field a word becomes.
      throw new StepError(`"${String(each[error.path])}" must be ${error.rule}`)
    }
  }
}

function checkVcpu(step: object, { isThere, vcpus }: Machine): void {
  const { vcpu } = step as { vcpu?: unknown }
  if (typeof vcpu !== 'number' || isThere(vcpu)) return
  throw new StepError(`there is no vCPU ${vcpu}: the partition has ${vcpus}, see partition/vcpus`)
}

function checkRun(step: RunStep, params: ParamValues): void {
  if (procedureOf(step.run) === undefined) {
    throw new StepError(`"${step.run}" is no procedure; \`synicd scenario procedures\` lists them`)
  }
  const problem = paramProblem(step.run, filledParams(step, params))
  if (problem !== undefined) throw new StepError(problem)
}

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
        ...problemIf(rule !== undefined && !RULE_NAMES.has(rule), `${at}/rule`, NO_RULE),
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

const NO_REGISTER = 'is no register; write v0.SINT2'
const NO_RULE = 'is no rule; docs/invariants.md lists them'

const problemIf = (isWrong: boolean, path: string, message: string): PlacedProblem[] =>
  isWrong ? [{ path, message }] : []
