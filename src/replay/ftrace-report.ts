// What a replay of kernel events found: counts, deviations, and how certain they are.
import type { FtraceEvent } from './ftrace-line.js'

/** Deviations listed; more are only counted. */
const LISTED_MAX = 100
/** Characters of an event shown. */
const EVENT_TEXT_MAX = 240

/** Kinds of statement a trace makes that were held against the simulation. */
export const CHECKS = [
  'reads',
  'writes',
  'faults',
  'interrupts',
  'injections',
  'eois',
  'acknowledgements',
  'timer_starts',
  'timer_expirations',
  'hypercalls',
] as const
export type Check = (typeof CHECKS)[number]

export interface Mismatch {
  readonly line: number
  /** Seconds since boot. */
  readonly time: number
  readonly event: string
  /** What the trace says. */
  readonly expected: string
  /** What the simulation says. */
  readonly actual: string
  readonly explanation: string
}

export interface Unknown {
  readonly what: string
  readonly count: number
  readonly first_line: number
}

export interface FtraceSummary {
  readonly format: 'ftrace'
  readonly file: string
  readonly target: string
  /** `host`: kvm:* events of a KVM host; `guest`: msr:* events of a guest kernel. */
  readonly source: 'host' | 'guest'
  readonly profile: string
  readonly kind: string
  readonly vcpus: number
  readonly lines: {
    readonly total: number
    readonly events: number
    readonly comments: number
    readonly unknown: number
  }
  readonly events_used: Readonly<Record<string, number>>
  readonly events_skipped: readonly { readonly event: string; readonly why: string; readonly count: number }[]
  readonly checked: Readonly<Record<Check, number>>
  /** Registers whose value was there before the recording began, taken from the trace. */
  readonly adopted: number
  readonly mismatch_count: number
  readonly mismatches: readonly Mismatch[]
  readonly certainty: 'exact' | 'lowered'
  /** Why certainty is lowered. */
  readonly uncertain: readonly Unknown[]
  readonly not_checked: readonly Unknown[]
}

class Tally {
  readonly #entries = new Map<string, { count: number; line: number }>()

  add(what: string, line: number): void {
    const entry = this.#entries.get(what)
    if (entry === undefined) this.#entries.set(what, { count: 1, line })
    else entry.count++
  }

  list(): Unknown[] {
    return [...this.#entries].map(([what, { count, line }]) => ({ what, count, first_line: line }))
  }
}

/** Collects while the replay runs. */
export class FtraceReport {
  readonly lines = { total: 0, events: 0, comments: 0, unknown: 0 }
  adopted = 0
  mismatchCount = 0
  readonly mismatches: Mismatch[] = []
  readonly #used = new Map<string, number>()
  readonly #skipped = new Map<string, { event: string; why: string; count: number }>()
  readonly #checked = new Map<Check, number>()
  readonly #uncertain = new Tally()
  readonly #notChecked = new Tally()

  use(event: string): void {
    this.#used.set(event, (this.#used.get(event) ?? 0) + 1)
  }

  skip(event: string, why: string): void {
    const key = `${event}\n${why}`
    const entry = this.#skipped.get(key)
    if (entry === undefined) this.#skipped.set(key, { event, why, count: 1 })
    else entry.count++
  }

  /** An event counted as used turns out to be none of the SynIC's. */
  unuse(event: string, why: string): void {
    this.#used.set(event, (this.#used.get(event) ?? 1) - 1)
    this.skip(event, why)
  }

  check(what: Check): void {
    this.#checked.set(what, (this.#checked.get(what) ?? 0) + 1)
  }

  mismatch(event: FtraceEvent, expected: string, actual: string, explanation: string): void {
    this.mismatchCount++
    if (this.mismatches.length >= LISTED_MAX) return
    const { line, at, text } = event
    const shown = text.length > EVENT_TEXT_MAX ? `${text.slice(0, EVENT_TEXT_MAX)}…` : text
    this.mismatches.push({ line, time: at / 1e7, event: shown, expected, actual, explanation })
  }

  /** Something the trace does not tell makes what follows less certain. */
  lower(why: string, line: number): void {
    this.#uncertain.add(why, line)
  }

  /** Something was seen but could not be held against the simulation. */
  leave(why: string, line: number): void {
    this.#notChecked.add(why, line)
  }

  summary(
    about: Pick<FtraceSummary, 'file' | 'target' | 'source' | 'profile' | 'kind' | 'vcpus'>,
  ): FtraceSummary {
    const uncertain = this.#uncertain.list()
    const counts = CHECKS.map((check) => [check, this.#checked.get(check) ?? 0])
    return {
      format: 'ftrace',
      ...about,
      lines: this.lines,
      events_used: Object.fromEntries([...this.#used].filter(([, count]) => count > 0)),
      events_skipped: [...this.#skipped.values()],
      checked: Object.fromEntries(counts) as Record<Check, number>,
      adopted: this.adopted,
      mismatch_count: this.mismatchCount,
      mismatches: this.mismatches,
      certainty: uncertain.length === 0 ? 'exact' : 'lowered',
      uncertain,
      not_checked: this.#notChecked.list(),
    }
  }
}
