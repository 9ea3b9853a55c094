// Replays a JSON trace or a downloaded log: applies every op and compares its result with the recorded one.
import type { WireOp } from '../api/op-decode.js'
import type { Result } from '../api/result.js'
import { differences, type FieldDifference } from './compare.js'
import { ReplayInputError } from './input-error.js'
import { configOf, type Header, type Overrides } from './machine-config.js'
import { RefusedOpError, type ReplayTarget, type TargetConfig } from './target.js'
import { TraceReader, type TraceStep } from './trace-file.js'

/** Ops sent together: few round trips to a server, and little work behind a difference. */
const BATCH_OPS = 256
/** Differences listed; more are only counted. */
export const LISTED_MAX = 100
/** Ops shown before a difference. */
const CONTEXT_OPS = 3
/** vCPUs whose last ops are kept. */
const CONTEXTS_MAX = 4096

export interface PastOp {
  readonly line: number
  readonly seq: number
  readonly op: WireOp
}

export interface TraceDifference extends PastOp {
  readonly fields: readonly FieldDifference[]
  /** The ops before it on the same vCPU, oldest first. */
  readonly before: readonly PastOp[]
}

export interface TraceReport {
  readonly format: 'trace'
  readonly file: string
  readonly target: string
  /** Undefined where a snapshot decides. */
  readonly profile: string | undefined
  readonly kind: string | undefined
  readonly description: string | undefined
  readonly ops: number
  readonly compared: number
  readonly differences: number
  readonly listed: readonly TraceDifference[]
  /** False: the replay stopped at the first difference. */
  readonly complete: boolean
}

export interface TraceOptions extends Overrides {
  readonly keepGoing?: boolean | undefined
  readonly snapshot?: object | undefined
}

export async function replayTrace(
  name: string,
  batches: AsyncIterable<readonly string[]>,
  target: ReplayTarget,
  options: TraceOptions,
): Promise<TraceReport> {
  const run = new TraceRun(name, target, options)
  for await (const lines of batches) {
    for (const text of lines) {
      if (run.stopped) break
      await run.line(text)
    }
    if (run.stopped) break
  }
  return run.finish()
}

class TraceRun {
  stopped = false
  readonly #reader: TraceReader
  #config: TargetConfig | undefined
  #pending: TraceStep[] = []
  readonly #recent = new Map<unknown, PastOp[]>()
  #ops = 0
  #compared = 0
  #differences = 0
  readonly #listed: TraceDifference[] = []

  constructor(
    private readonly name: string,
    private readonly target: ReplayTarget,
    private readonly options: TraceOptions,
  ) {
    this.#reader = new TraceReader(name)
  }

  async line(text: string): Promise<void> {
    if (this.#config === undefined && text.trim() !== '') {
      const header = this.#reader.readHeader(text)
      await this.#create(header ?? {})
      if (header !== undefined) return
    }
    const step = this.#reader.readStep(text)
    if (step === undefined) return
    this.#pending.push(step)
    if (this.#pending.length === BATCH_OPS) await this.#flush()
  }

  async finish(): Promise<TraceReport> {
    if (!this.stopped) await this.#flush()
    const { description } = this.#reader.header
    const restored = this.options.snapshot !== undefined
    return {
      format: 'trace',
      file: this.name,
      target: this.target.name,
      profile: restored ? undefined : this.#config?.profile,
      kind: restored ? undefined : this.#config?.kind,
      description: typeof description === 'string' ? description : undefined,
      ops: this.#ops,
      compared: this.#compared,
      differences: this.#differences,
      listed: this.#listed,
      complete: !this.stopped,
    }
  }

  async #create(header: Header): Promise<void> {
    const { snapshot } = this.options
    const base = header.base_seq ?? 0
    if (snapshot === undefined && base > 0) {
      throw this.#reader.error(
        `the log begins behind op ${base}, not at creation: give the state at that op with --snapshot FILE`,
      )
    }
    if (snapshot !== undefined && 'seq' in snapshot && snapshot.seq !== base) {
      throw this.#reader.error(
        `the snapshot was taken at op ${snapshot.seq}, the log begins behind op ${base}`,
      )
    }
    this.#config = configOf(header, this.options, snapshot)
    await this.target.create(this.#config)
  }

  async #flush(): Promise<void> {
    const steps = this.#pending
    this.#pending = []
    const results = await this.#apply(steps)
    for (let i = 0; i < steps.length && !this.stopped; i++) this.#compare(steps[i], results[i])
  }

  async #apply(steps: readonly TraceStep[]): Promise<Result[]> {
    try {
      return await this.target.apply(
        steps.map(({ op }) => op),
        (index) => steps[index],
      )
    } catch (error) {
      if (!(error instanceof RefusedOpError)) throw error
      throw new ReplayInputError(`${this.name}:${steps[error.index].line}: ${error.message}`)
    }
  }

  #compare(step: TraceStep, result: Result): void {
    const { line, seq, op, out } = step
    this.#ops++
    const past = this.#pastOf(op)
    if (out !== undefined) {
      this.#compared++
      const fields = differences(out, result)
      if (fields.length > 0) {
        this.#differences++
        if (this.#listed.length < LISTED_MAX) {
          this.#listed.push({ line, seq, op, fields, before: [...past] })
        }
        if (this.options.keepGoing !== true) this.stopped = true
      }
    }
    past.push({ line, seq, op })
    if (past.length > CONTEXT_OPS) past.shift()
  }

  /** The last ops on the vCPU that an op acts on; ops on none have a list of their own. */
  #pastOf(op: WireOp): PastOp[] {
    let past = this.#recent.get(op.vcpu)
    if (past === undefined) {
      past = []
      if (this.#recent.size < CONTEXTS_MAX) this.#recent.set(op.vcpu, past)
    }
    return past
  }
}
