/** What a schema cannot see of a scenario: whether its steps are understood, and its registers exist. */
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import type { Expectation, ParamValues, RunStep, ScenarioDocument, ScenarioStep } from '../api/scenario.js'
import { parseMsr } from '../api/wire.js'
import { MSHV_VERSIONS } from '../drivers/mshv-state.js'
import { NAMES_MAX, VCPU_ID_LIMIT } from '../hv/limits.js'
import { NameTable } from '../synic/names.js'
import { OpWriter } from '../synic/op.js'
import { choicesOf, filledLine, filledParams, type RunChoice, stepsOf } from './choices.js'
import { STEPS_MAX } from './limits.js'
import { StepError } from './problems.js'
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
    ...checkRegisters(scenario.expect, 'expect'),
    ...variants.flatMap(([name, { expect }]) => checkRegisters(expect, `variants/${name}/expect`)),
  ]
  // Variants share steps, and so their problems.
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem])).values()]
}

/** What is wrong with the steps, with these parameters in them. */
export function checkChoice(scenario: ScenarioDocument, { variant, params }: RunChoice): PlacedProblem[] {
  const { at, steps } = stepsOf(scenario, variant)
  const writer = new OpWriter()
  const names = new NameTable(NAMES_MAX)
  const check = (op: unknown): void => {
    writer.clear()
    encodeOp(op, writer, names, 0)
  }
  return steps.flatMap((step, i) => {
    try {
      checkStep(step, params, check)
      return []
    } catch (error) {
      if (!(error instanceof StepError) && !(error instanceof OpInputError)) throw error
      return [{ path: [...at, i].join('/'), message: error.message }]
    }
  })
}

function checkStep(step: ScenarioStep, params: ParamValues, checkOp: (op: unknown) => void): void {
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

const isVcpu = (value: unknown) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < VCPU_ID_LIMIT
const VERSIONS: readonly unknown[] = [...MSHV_VERSIONS, null, undefined]

function checkRun(step: RunStep, params: ParamValues): void {
  if (procedureOf(step.run) === undefined) {
    throw new StepError(`"${step.run}" is no procedure; \`synicd scenario procedures\` lists them`)
  }
  const { vcpus, version } = filledParams(step, params)
  if (vcpus !== undefined && (!Array.isArray(vcpus) || !vcpus.every(isVcpu) || vcpus.length === 0)) {
    throw new StepError('vcpus: must be a list of vCPUs, such as [0, 1]')
  }
  if (!VERSIONS.includes(version)) {
    throw new StepError(`version: "${String(version)}" is none of ${MSHV_VERSIONS.join(', ')}`)
  }
}

/** A register as expectations name it: `v0.SINT2`, or `SINT2` of vCPU 0. */
export function placeOf(text: string): { vcpu: number; msr: number } | undefined {
  const [, vcpu = '0', register] = /^(?:v(\d{1,4})\.)?(\w+)$/.exec(text) ?? []
  const msr = parseMsr(register)
  return msr === undefined ? undefined : { vcpu: Number(vcpu), msr }
}

function checkRegisters(expect: Expectation | undefined, path: string): PlacedProblem[] {
  const registers = typeof expect === 'object' ? (expect.registers ?? {}) : {}
  return Object.keys(registers).flatMap((name) => {
    if (placeOf(name) !== undefined) return []
    return [{ path: `${path}/registers/${name}`, message: 'is no register; write v0.SINT2' }]
  })
}
