/** The machine that a scenario runs on: a partition under audit, driven by ops in any of their forms. */
import { decodeOp, type WireOp } from '../api/op-decode.js'
import { encodeOp } from '../api/op-encode.js'
import { type Result, resultText } from '../api/result.js'
import type { ScenarioFault, ScenarioViolation } from '../api/scenario.js'
import { violationView } from '../api/violation.js'
import { parseMsr } from '../api/wire.js'
import { Auditor } from '../audit/auditor.js'
import { type PastStep, relive } from '../audit/relive.js'
import { type Step, type Strand, writeStep } from '../drivers/step.js'
import { MSR_NAMES } from '../hv/msrs.js'
import type { PartitionConfig } from '../synic/machine.js'
import { OpWriter } from '../synic/op.js'
import { Partition } from '../synic/partition.js'
import { restorePartition, savePartition } from '../synic/save-state.js'
import type { SavedState } from '../synic/saved-state.js'
import { FAULTS_LISTED_MAX, OPS_MAX, RESULT_BYTES_MAX, SNAPSHOTS_MAX, VIOLATIONS_MAX } from './limits.js'
import { StepError } from './problems.js'
import { type FailedOp, failureOf } from './unannounced.js'

/** One op that was applied, as a trace has it. */
export interface TraceStep {
  readonly seq: number
  readonly in: WireOp
  readonly out: Result
}

interface Snapshot {
  readonly state: SavedState
  /** Ops that led there. */
  readonly steps: number
}

export class ScenarioMachine {
  partition: Partition
  /** The ops that led to where it is: a replay of them ends there too. */
  readonly trace: TraceStep[] = []
  readonly violations: ScenarioViolation[] = []
  /** Ops applied, those before a `restore` included. */
  ops = 0
  /** Ops that ended in #GP or #UD, and those that were refused with an errno. */
  faults = 0
  refused = 0
  readonly faulted: ScenarioFault[] = []
  /** The step that is at work, as the document counts. */
  at = ''
  #failed: FailedOp[] = []
  #resultBytes = 0
  #auditor: Auditor
  readonly #writer = new OpWriter()
  readonly #snapshots = new Map<string, Snapshot>()

  /** Lengths of the trace at which liveness was judged. */
  #settledAt: number[] = []
  /** Ops that were applied again for the auditor. */
  #relived = 0

  constructor(config: PartitionConfig) {
    this.partition = new Partition(config)
    this.#auditor = new Auditor(this.partition, { deep: true })
  }

  /** @throws OpInputError, StepError */
  op(op: unknown): Result {
    this.#writer.clear()
    encodeOp(op, this.#writer, this.partition.names, 0)
    return this.#apply()
  }

  /** A look from outside, which is no part of the story. */
  peek(op: unknown): Result {
    const { partition } = this
    this.#writer.clear()
    encodeOp(op, this.#writer, partition.names, 0)
    partition.apply(this.#writer.words, 0)
    return JSON.parse(resultText(partition.effects)) as Result
  }

  /** Runs a driver's procedure to its end, yielding after each of its steps; gives what it returns. */
  *strand(strand: Strand<unknown>): Generator<void, unknown> {
    let next = strand.next(this.partition.effects)
    while (next.done !== true) {
      this.#step(next.value)
      yield
      next = strand.next(this.partition.effects)
    }
    return next.value
  }

  /** Ops that failed since this was asked last. */
  takeFailed(): readonly FailedOp[] {
    const failed = this.#failed
    this.#failed = []
    return failed
  }

  /**
   * Judges liveness: nothing is still to come.
   * @param step the step that asked for it; none at the end of the run
   */
  settle(step?: string): void {
    // Nothing has happened since it was asked for: it would be told twice.
    if (step === undefined && this.#settledAt.at(-1) === this.trace.length) return
    const op = step === undefined ? {} : { op: step }
    this.#settledAt.push(this.trace.length)
    for (const each of this.#auditor.settle()) this.violations.push({ ...violationView(each), ...op })
  }

  /** @throws StepError */
  snap(name: string): void {
    if (this.#snapshots.size >= SNAPSHOTS_MAX && !this.#snapshots.has(name)) {
      throw new StepError(`there are more than ${SNAPSHOTS_MAX} snapshots`)
    }
    this.#snapshots.set(name, { state: savePartition(this.partition), steps: this.trace.length })
  }

  /**
   * Goes on from a snapshot. What an auditor knows is no part of one: it learns that from the ops before it.
   * @throws StepError if there is none of that name
   */
  restore(name: string): void {
    const snapshot = this.#snapshots.get(name)
    if (snapshot === undefined) throw new StepError(`there is no snapshot ${name}`)
    const { state, steps } = snapshot
    this.trace.length = steps
    this.#settledAt = this.#settledAt.filter((length) => length <= steps)
    this.#relived += steps
    this.#checkLimits()
    const partition = restorePartition(state)
    this.partition = partition
    this.#auditor = relive(partition, this.#past(), () => new Auditor(partition, { deep: true }))
  }

  *#past(): Generator<PastStep> {
    const settledAt = [...this.#settledAt]
    for (const [i, { seq, in: op }] of this.trace.entries()) {
      for (; settledAt[0] === i; settledAt.shift()) yield null
      this.#writer.clear()
      encodeOp(op, this.#writer, this.partition.names, 0)
      yield { seq, words: this.#writer.words, at: 0 }
    }
    for (const _ of settledAt) yield null
  }

  #step(step: Step): void {
    this.#writer.clear()
    writeStep(step, this.#writer, this.partition.names)
    this.#apply()
  }

  #apply(): Result {
    const { partition } = this
    const { words } = this.#writer
    this.#auditor.before(words, 0)
    partition.apply(words, 0)
    this.#auditor.after()
    const { effects } = partition
    const text = resultText(effects)
    const step = { seq: partition.seq, in: decodeOp(words, 0, partition.names), out: JSON.parse(text) }
    this.trace.push(step)
    this.#resultBytes += text.length
    for (const each of this.#auditor.found) this.violations.push({ ...violationView(each), op: step.in.op })
    const failure = failureOf(step.out)
    if (failure !== undefined) this.#failed.push({ seq: step.seq, op: step.in.op, result: step.out })
    if (failure === 'faults') this.#fault(step)
    if (failure === 'refused') this.refused++
    this.ops++
    this.#checkLimits()
    return step.out
  }

  #fault({ seq, in: { op, vcpu, msr, value, actor } }: TraceStep): void {
    this.faults++
    if (this.faulted.length >= FAULTS_LISTED_MAX) return
    const number = parseMsr(msr)
    this.faulted.push({
      seq,
      step: this.at,
      op,
      ...(typeof vcpu === 'number' ? { vcpu } : {}),
      ...(number === undefined ? {} : { register: MSR_NAMES.get(number) ?? String(msr) }),
      ...(typeof value === 'string' ? { value } : {}),
      ...(typeof actor === 'string' ? { actor } : {}),
    })
  }

  #checkLimits(): void {
    if (this.ops > OPS_MAX) throw new StepError(`more than ${OPS_MAX} ops`)
    if (this.ops + this.#relived > OPS_MAX) {
      throw new StepError(`more than ${OPS_MAX} ops, those counted again that a restored machine comes from`)
    }
    if (this.#resultBytes > RESULT_BYTES_MAX) {
      throw new StepError(`results of more than ${RESULT_BYTES_MAX} bytes`)
    }
    if (this.violations.length > VIOLATIONS_MAX) throw new StepError(`more than ${VIOLATIONS_MAX} violations`)
  }
}
