/** Ops that failed though no step said so: who wrote the scenario must have meant them, or be told. */
import type { Result } from '../api/result.js'

/** What an op's result is a failure of; a message that found no room has met a fate, and is none. */
type Failure = 'faults' | 'refused'

export function failureOf({ ok, fault, delivery }: Result): Failure | undefined {
  if (ok) return undefined
  if (fault !== undefined) return 'faults'
  return delivery === undefined ? 'refused' : undefined
}

export interface FailedOp {
  readonly seq: number
  readonly op: string
  readonly result: Result
}

interface Group {
  readonly path: string
  /** The step, for people. */
  readonly step: string
  readonly isLine: boolean
  readonly failure: Failure
  readonly first: FailedOp
  readonly count: number
}

/** All of a run, by step. */
export class Unannounced {
  readonly #groups: Group[] = []

  note(path: string, step: string, isLine: boolean, failed: readonly FailedOp[]): void {
    for (const failure of ['faults', 'refused'] as const) {
      const own = failed.filter(({ result }) => failureOf(result) === failure)
      if (own.length > 0) {
        this.#groups.push({ path, step, isLine, failure, first: own[0], count: own.length })
      }
    }
  }

  /** One line a step: what failed there, and how to say that it is meant. */
  texts(failure: Failure, total: number): string[] {
    return this.#groups.filter((each) => each.failure === failure).map((each) => textOf(each, total))
  }
}

function textOf({ path, step, isLine, failure, first, count }: Group, total: number): string {
  const { fault, errno } = first.result
  const what = fault === undefined ? `errno ${errno}` : `#${fault.toUpperCase()}`
  const which = `op ${first.seq} (${first.op})`
  const came = count === 1 ? `${what} at ${which}` : `${what} at ${count} ops, the first is ${which}`
  const arrow = isLine ? `end the line in "-> ${fault ?? errno}", or ` : ''
  return `${path} (${step}): ${came}; if that is the point, ${arrow}expect ${failure}: ${total}`
}
