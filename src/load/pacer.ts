/** Keeps to a number of messages a second. */

/** What was missed for longer than this is not caught up with. */
const CATCH_UP_SECONDS = 0.1

export class Pacer {
  readonly #burst: number
  #tokens = 1
  #atMs: number

  constructor(
    private readonly perSecond: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#burst = Math.max(1, perSecond * CATCH_UP_SECONDS)
    this.#atMs = now()
  }

  /** May one more go now? */
  take(): boolean {
    const nowMs = this.now()
    const due = ((nowMs - this.#atMs) / 1000) * this.perSecond
    this.#tokens = Math.min(this.#burst, this.#tokens + due)
    this.#atMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /** Milliseconds until the next may go. */
  get waitMs(): number {
    return Math.max(0, ((1 - this.#tokens) / this.perSecond) * 1000)
  }
}
