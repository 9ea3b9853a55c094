/**
 * One turn of the event loop: however many batches come in it, news is handed out once, at its end, and a
 * socket is written to once for what it sent, and once for what others did. A write for each would cost ten
 * times as much.
 */
export class Turn {
  readonly #hubs: Queue
  readonly #outboxes: Queue

  /**
   * @param later runs a function at the end of the turn, as `setImmediate` does
   * @param soon runs one once the socket at hand has been read, as `process.nextTick` does
   */
  constructor(later: Schedule, soon: Schedule) {
    this.#hubs = new Queue(later)
    this.#outboxes = new Queue(soon)
  }

  /** Calls `distribute` at the end of the turn. */
  distribute(distribute: () => void): void {
    this.#hubs.add(distribute)
  }

  /**
   * Calls `write` once the socket at hand has been read: who waits for an answer does not wait for others.
   */
  write(write: () => void): void {
    this.#outboxes.add(write)
  }
}

type Schedule = (run: () => void) => void

/** Functions that are called together, each once. */
class Queue {
  #waiting = new Set<() => void>()

  constructor(private readonly schedule: Schedule) {}

  add(call: () => void): void {
    if (this.#waiting.size === 0) this.schedule(this.#run)
    this.#waiting.add(call)
  }

  readonly #run = (): void => {
    const calls = this.#waiting
    this.#waiting = new Set()
    for (const call of calls) call()
  }
}
