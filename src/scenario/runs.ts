/**
 * Runs that clients asked for: one after another, some ops a turn of the loop, the last of them kept for who
 * asks.
 */
import type { Run, ScenarioDocument } from '../api/scenario.js'
import type { Asked, RunChoice } from './choices.js'
import { withLines } from './document.js'
import { OPS_PER_TURN, RUN_BYTES_MAX, RUNS_BYTES_MAX, RUNS_KEPT_MAX, RUNS_OPEN_MAX } from './limits.js'
import { ScenarioError } from './problems.js'
import { choose, ScenarioRunner } from './run.js'
import { traceText } from './trace.js'

type OpenRun = { -readonly [K in keyof Run]: Run[K] }

interface KeptRun {
  readonly run: OpenRun
  /** Counts runs from 1. */
  readonly serial: number
  /** Trace files, by variant. */
  readonly traces: Map<string, string>
  /** What all of it comes to. */
  bytes: number
}

interface Job {
  readonly kept: KeptRun
  /** Of the document, where it came as one. */
  readonly text: string | undefined
  /** Yields between ops. */
  readonly work: Generator<void>
}

interface RunsLimits {
  readonly keptMax: number
  /** Of one run, and of all that are kept. */
  readonly runBytesMax: number
  readonly bytesMax: number
}

const LIMITS: RunsLimits = {
  keptMax: RUNS_KEPT_MAX,
  runBytesMax: RUN_BYTES_MAX,
  bytesMax: RUNS_BYTES_MAX,
}

export class Runs {
  /** In the order of their beginning. */
  readonly #kept = new Map<string, KeptRun>()
  #bytes = 0
  #jobs: Job[] = []
  #next = 1
  /** Is a turn to come? */
  #isTurning = false

  constructor(private readonly limits = LIMITS) {}

  get(id: string): Run | undefined {
    return this.#kept.get(id)?.run
  }

  /** Those begun after the one with this number, in that order. */
  *after(serial: number): Generator<{ readonly serial: number; readonly run: Run }> {
    for (const kept of this.#kept.values()) if (kept.serial > serial) yield kept
  }

  /** Ends a run where it stands: its machine is its own, and goes with it. */
  cancel(id: string): Run | undefined {
    const run = this.#kept.get(id)?.run
    if (run?.state !== 'running') return run
    run.state = 'cancelled'
    this.#jobs = this.#jobs.filter((job) => job.kept.run !== run)
    return run
  }

  /** The trace of a variant that is done. */
  trace(id: string, variant: string): string | undefined {
    return this.#kept.get(id)?.traces.get(variant)
  }

  /** Can no more be taken on for now? */
  get isFull(): boolean {
    return this.#jobs.length >= RUNS_OPEN_MAX
  }

  /**
   * Begins a run; it goes on by itself.
   * @throws ScenarioError where the variant or the parameters do not fit
   */
  start(scenario: ScenarioDocument, asked: Asked = {}, text?: string): Run {
    const choices = choose(scenario, asked)
    const serial = this.#next++
    const run: OpenRun = {
      id: `r${serial}`,
      scenario: scenario.scenario,
      state: 'running',
      progress: { done: 0, of: choices.length, ops: 0 },
      reports: [],
    }
    const kept = { run, serial, traces: new Map<string, string>(), bytes: 0 }
    this.#kept.set(run.id, kept)
    this.#forget(kept)
    this.#jobs.push({ kept, text, work: this.#work(kept, scenario, choices) })
    if (!this.#isTurning) this.#turnSoon()
    return run
  }

  /** Nobody will ask any more. */
  stop(): void {
    this.#jobs = []
  }

  *#work(kept: KeptRun, scenario: ScenarioDocument, choices: readonly RunChoice[]): Generator<void> {
    const { run } = kept
    for (const choice of choices) {
      const runner = new ScenarioRunner(scenario, choice)
      const before = run.progress.ops
      const ops = runner.ops()
      let next = ops.next()
      while (next.done !== true) {
        run.progress.ops = before + runner.machine.ops
        yield
        next = ops.next()
      }
      run.progress.ops = before + runner.machine.ops
      const { report } = next.value
      run.reports = [...run.reports, report]
      this.#keep(kept, choice.variant, traceText(next.value), JSON.stringify(report).length)
      run.progress.done++
    }
    run.state = 'done'
  }

  #keep(kept: KeptRun, variant: string, trace: string, reportBytes: number): void {
    kept.traces.set(variant, trace)
    kept.bytes += trace.length + reportBytes
    this.#bytes += trace.length + reportBytes
    const { runBytesMax } = this.limits
    if (kept.bytes > runBytesMax) {
      throw new ScenarioError([{ path: '', line: 0, message: `more than ${runBytesMax} bytes of traces` }])
    }
    this.#forget(kept)
  }

  /** The oldest go, but none that is as young as `kept`. */
  #forget(kept: KeptRun): void {
    const { keptMax, bytesMax } = this.limits
    for (const [id, oldest] of this.#kept) {
      if (oldest === kept || (this.#bytes <= bytesMax && this.#kept.size <= keptMax)) break
      this.#kept.delete(id)
      this.#bytes -= oldest.bytes
    }
  }

  #turnSoon(): void {
    this.#isTurning = true
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    const [job] = this.#jobs
    this.#isTurning = job !== undefined
    if (job === undefined) return
    try {
      for (let op = 0; op < OPS_PER_TURN && job.kept.run.state === 'running'; op++) job.work.next()
    } catch (error) {
      job.kept.run.state = 'failed'
      job.kept.run.error = messageOf(error, job.text)
    }
    if (job.kept.run.state !== 'running') this.#jobs.shift()
    this.#turnSoon()
  }
}

function messageOf(error: unknown, text: string | undefined): string {
  if (error instanceof ScenarioError && text !== undefined) return withLines(text, error).message
  return error instanceof Error ? error.message : String(error)
}
