/** Requests of the set-up, spread over seconds where the server takes only so many of one address. */
import { setTimeout as sleep } from 'node:timers/promises'

/** The server counts by the second: a second behind what it has answered, it counts anew. */
const WINDOW_MS = 1000

export class Openings {
  /** Requests a second that the server takes; undefined: as many as come. The first answer tells. */
  perSecond: number | undefined
  #taken = 0

  constructor(
    private readonly halted: AbortSignal,
    private readonly rest: (ms: number, signal: AbortSignal) => Promise<unknown> = (ms, signal) =>
      sleep(ms, undefined, { signal }),
  ) {}

  /** One was refused for the rate, for others ask from here, too: the next waits for a new second. */
  refused(): void {
    this.#taken = Number.POSITIVE_INFINITY
  }

  /**
   * How many of so many may go now; waits until some may. All that went before must have been answered.
   * 0: it is halted.
   */
  async room(wanted: number): Promise<number> {
    const { perSecond = Number.POSITIVE_INFINITY } = this
    if (this.#taken >= perSecond) {
      await this.rest(WINDOW_MS, this.halted).catch(() => {})
      this.#taken = 0
    }
    if (this.halted.aborted) return 0
    const count = Math.min(wanted, perSecond - this.#taken)
    this.#taken += count
    return count
  }
}
