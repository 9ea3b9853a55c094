/** What goes wrong during a load, counted, with the first of each kind in words. */
import type { Gap, Op, Result, SynicdProblem } from '../client/index.js'

export interface Problem {
  readonly code: string
  readonly detail: string
  count: number
}

export class Troubles {
  /** Messages the server had no room for. */
  busy = 0
  /** Ops that faulted or failed in another way, and messages nobody had sent. */
  failed = 0
  firstFailure: string | undefined
  /** Notifications that a guest or watcher was told to have missed. */
  gaps = 0
  /** Batches refused, by code. */
  readonly problems = new Map<string, Problem>()

  fail(op: Op, result: Result): void {
    this.failed++
    this.firstFailure ??= `${JSON.stringify(op)}: ${JSON.stringify(result)}`
  }

  stray(vcpu: number, hex: string): void {
    this.failed++
    this.firstFailure ??= `vCPU ${vcpu} found a message that nobody had sent, or found before: ${hex}`
  }

  gap({ from, to }: Gap): void {
    this.gaps += to - from + 1
  }

  /** The partition went, and another came in its place: what was sent to the first is gone. */
  restarted(): void {
    this.failed++
    this.firstFailure ??= 'the partition was made anew by somebody else'
  }

  refuse({ code, detail }: SynicdProblem): void {
    const known = this.problems.get(code)
    if (known !== undefined) known.count++
    else this.problems.set(code, { code, detail, count: 1 })
  }
}
