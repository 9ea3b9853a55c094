/** SIGINT and SIGTERM: the first ends a command early, the second hurries it, the third ends the process. */

/** `npx` passes on what the terminal has sent already: signals so close together are one. */
const SAME_MS = 500

export class Interrupts {
  readonly #early = new AbortController()
  readonly #hurry = new AbortController()
  readonly #take = (signal: NodeJS.Signals) => this.take(signal)
  #tookAtMs = Number.NEGATIVE_INFINITY

  /** @param say tells on the terminal what one more would do */
  constructor(
    private readonly say: (line: string) => void,
    private readonly now: () => number = () => performance.now(),
    private readonly die: (signal: NodeJS.Signals) => void = (signal) => process.kill(process.pid, signal),
  ) {
    process.on('SIGINT', this.#take).on('SIGTERM', this.#take)
  }

  /** The first has come: end early. */
  get signal(): AbortSignal {
    return this.#early.signal
  }

  /** The second has come: clean up, and wait for nothing else. */
  get hurry(): AbortSignal {
    return this.#hurry.signal
  }

  take(signal: NodeJS.Signals): void {
    const nowMs = this.now()
    const isSame = nowMs - this.#tookAtMs < SAME_MS
    this.#tookAtMs = nowMs
    if (isSame) return
    if (!this.signal.aborted) return this.#early.abort()
    if (!this.hurry.aborted) {
      this.#hurry.abort()
      return this.say('cleaning up; once more to leave without it')
    }
    this.stop()
    this.die(signal)
  }

  stop(): void {
    process.off('SIGINT', this.#take).off('SIGTERM', this.#take)
  }
}
