/** Runs one variant of a scenario: steps in order, liveness judged at the end, and what came of it. */
import { OpInputError } from '../api/op-fields.js'
import type { Result } from '../api/result.js'
import type { ParamValues, RunStep, ScenarioDocument, ScenarioReport, ScenarioStep } from '../api/scenario.js'
import { Kernel } from '../drivers/kernel.js'
import type { Params } from '../drivers/procedures.js'
import { EDX_DIRECT_STIMER } from '../hv/cpuid.js'
import { flagByte } from '../hv/event-flags.js'
import { SIEFP } from '../synic/layout.js'
import type { PartitionConfig } from '../synic/machine.js'
import { checkChoice } from './check.js'
import {
  type Asked,
  choicesOf,
  filledLine,
  filledParams,
  machineOf,
  type RunChoice,
  stepsOf,
} from './choices.js'
import { judge } from './expect.js'
import { ScenarioMachine, type TraceStep } from './machine.js'
import { ScenarioError, StepError } from './problems.js'
import { procedureOf } from './procedures.js'
import { parseShort, type ShortStep } from './short-form.js'
import { isAsExpected, splitResult } from './step-result.js'
import { Unannounced } from './unannounced.js'
import { FIRST_KERNEL, kernelVcpus, type Roster, vcpusProblem } from './vcpu-choice.js'

/** A run, with its trace: a report for people and programs, ops for who wants to replay it. */
export interface ScenarioRun {
  readonly report: ScenarioReport
  readonly config: PartitionConfig
  readonly trace: readonly TraceStep[]
}

/** The scenarios' own pages lie below. */
const FIRST_GPN = 0x100

/** One variant at work. */
export class ScenarioRunner {
  readonly machine: ScenarioMachine
  readonly config: PartitionConfig
  readonly #vcpus: number
  readonly #kernels = new Map<string, Kernel>()
  /** Steps whose result was not what the step says. */
  readonly #surprises: string[] = []
  readonly #unannounced = new Unannounced()

  constructor(
    readonly scenario: ScenarioDocument,
    readonly choice: RunChoice,
  ) {
    const { config, vcpus } = machineOf(scenario, choice.variant)
    this.config = config
    this.#vcpus = vcpus
    this.machine = new ScenarioMachine(config)
  }

  /**
   * Goes from op to op: whoever drives it may pause in between.
   * @throws ScenarioError naming the step that cannot be run
   */
  *ops(): Generator<void, ScenarioRun> {
    const { machine } = this
    for (let vcpu = 0; vcpu < this.#vcpus; vcpu++) {
      machine.op({ op: 'vcpu.create', vcpu })
      yield
    }
    const { at, steps } = stepsOf(this.scenario, this.choice.variant)
    for (const [i, step] of steps.entries()) yield* this.#step(step, [...at, i].join('/'))
    machine.settle()
    return { report: this.#report(), config: this.config, trace: machine.trace }
  }

  #report(): ScenarioReport {
    const { scenario, choice, machine } = this
    const { ops, faults, faulted, refused, violations } = machine
    const verdict = judge(choice.expect, {
      violations,
      failures: { faults, refused },
      unannounced: this.#unannounced,
      surprises: this.#surprises,
      machine,
    })
    return {
      scenario: scenario.scenario,
      variant: choice.variant,
      params: choice.params,
      ...verdict,
      ops,
      faults,
      faulted,
      refused,
      violations,
    }
  }

  *#step(step: ScenarioStep, path: string): Generator<void> {
    this.machine.at = path
    try {
      if (typeof step === 'string') yield* this.#line(filledLine(step, this.choice.params), path)
      else if ('run' in step) yield* this.#procedure(step, path)
      else {
        this.machine.op(step)
        this.#unannounced.note(path, step.op, false, this.machine.takeFailed())
        yield
      }
    } catch (error) {
      const known = error instanceof StepError || error instanceof OpInputError
      if (!known) throw error
      throw new ScenarioError([{ path, line: 0, message: error.message }])
    }
  }

  *#line(line: string, path: string): Generator<void> {
    const { body, expected } = splitResult(line)
    for (const step of parseShort(body)) {
      const result = this.#shortStep(step)
      const failed = this.machine.takeFailed()
      if (expected === undefined) this.#unannounced.note(path, body, true, failed)
      yield
      if (expected === undefined || result === undefined || isAsExpected(result, expected)) continue
      this.#surprises.push(`${line}: ${JSON.stringify(result)}`)
    }
  }

  #shortStep(step: ShortStep): Result | undefined {
    if ('op' in step) return this.machine.op(step)
    switch (step.do) {
      case 'settle':
        this.machine.settle('settle')
        return undefined
      case 'snap':
        this.machine.snap(step.name)
        return undefined
      case 'restore':
        this.machine.restore(step.name)
        return undefined
      case 'clear':
        return this.#clear(step.vcpu, step.sint, step.flag)
    }
  }

  /** As a guest does: an atomic AND on the byte that holds the flag. */
  #clear(vcpu: number, sint: number, flag: number): Result {
    const { machine: m } = this.machine.partition
    const row = m.rowOf(vcpu)
    if (row < 0) throw new StepError(`there is no vCPU ${vcpu}`)
    const file = row + SIEFP
    const page = BigInt.asUintN(64, (BigInt(m.w[file + 1]) << 32n) | BigInt(m.w[file] >>> 0)) & ~0xfffn
    const gpa = `0x${(page + BigInt(flagByte(sint, flag))).toString(16)}`
    const byte = Number.parseInt(this.machine.op({ op: 'mem.read', gpa, len: 1 }).hex ?? '0', 16)
    return this.machine.op({ op: 'mem.cas', gpa, len: 1, expect: byte, value: byte & ~(1 << (flag & 7)) })
  }

  *#procedure(step: RunStep, path: string): Generator<void> {
    const { run: name, kernel: kernelName = FIRST_KERNEL, gives } = step
    const procedure = procedureOf(name)
    if (procedure === undefined) throw new StepError(`there is no procedure ${name}`)
    const given = filledParams(step, this.choice.params)
    const roster = this.#roster()
    const problem = vcpusProblem(name, procedure, kernelName, given, roster)
    if (problem !== undefined) throw new StepError(problem.message)
    const kernel = this.#kernel(kernelName, kernelVcpus(procedure, given, roster))
    const params: Params = { vcpus: kernel.vcpus(), ...given }
    const result = yield* this.machine.strand(procedure(kernel, params))
    const isFine = gives === undefined ? typeof result !== 'number' || result >= 0 : result === gives
    const failed = this.machine.takeFailed()
    // Who says what goes wrong in all says it of the ops that go wrong in it.
    if (gives === undefined || gives >= 0) this.#unannounced.note(path, name, false, failed)
    if (isFine) return
    const remedy = gives === undefined ? `; if that is the point, say so: gives: ${String(result)}` : ''
    this.#surprises.push(`${path}: ${name} gives ${String(result)}${remedy}`)
  }

  #roster(): Roster {
    const kernels = [...this.#kernels].map(([name, { config }]) => [name, config.vcpus] as const)
    return { there: this.machine.partition.vcpuIds().sort((a, b) => a - b), kernels: new Map(kernels) }
  }

  /** One kernel goes on through a scenario; another name is another kernel, with memory of its own. */
  #kernel(name: string, vcpus: readonly number[]): Kernel {
    const known = this.#kernels.get(name)
    if (known !== undefined) return known
    const { kind, options } = this.config
    const last = [...this.#kernels.values()].at(-1)
    const kernel =
      last?.successor({ vcpus }) ??
      new Kernel({
        kind,
        vcpus,
        deprecatesAutoEoi: true,
        hasDirectTimers: (options.cpuid.edx & EDX_DIRECT_STIMER) !== 0,
        firstGpn: FIRST_GPN,
      })
    this.#kernels.set(name, kernel)
    return kernel
  }
}

/**
 * What is to be run: every variant, or what is asked for.
 * @throws ScenarioError where that does not fit the scenario
 */
export function choose(scenario: ScenarioDocument, asked: Asked = {}): RunChoice[] {
  const choices = choicesOf(scenario, asked)
  // Those of the document itself were looked at when it was read.
  const problems =
    asked.params === undefined ? [] : choices.flatMap((choice) => checkChoice(scenario, choice))
  if (problems.length > 0) throw new ScenarioError(problems.map((each) => ({ ...each, line: 0 })))
  return choices
}

/** Ops between two words of how far it is. */
const TOLD_EVERY = 1000

/**
 * Runs one of them to its end.
 * @param tell how many ops have been run
 */
export function runChoice(
  scenario: ScenarioDocument,
  choice: RunChoice,
  tell: (ops: number) => void = () => {},
): ScenarioRun {
  const ops = new ScenarioRunner(scenario, choice).ops()
  let next = ops.next()
  for (let done = 1; next.done !== true; done++) {
    if (done % TOLD_EVERY === 0) tell(done)
    next = ops.next()
  }
  return next.value
}

/** Runs every variant, or the one that the parameters ask for. */
export function runScenario(scenario: ScenarioDocument, params?: ParamValues): ScenarioRun[] {
  return choose(scenario, { params }).map((choice) => runChoice(scenario, choice))
}
