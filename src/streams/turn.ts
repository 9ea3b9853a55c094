/** When things are written: together, at the end of what brought them about. */
import { Arena } from './arena.js'

/**
 * One turn of the event loop: however many batches come in it, news is handed out once, at its end, and a
 * socket is written to once for what it sent, and once for what others did. A write for each would cost ten
 * times as much.
 */
export class Turn {
  /** What is written lies here until then. */
  readonly arena = new Arena()
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

  /** Calls `distribute` at the end of the turn; to be asked once a turn. */
  distribute(distribute: () => void): void {
    this.#hubs.add(distribute)
  }

  /**
   * Calls `write` once the socket at hand has been read: who waits for an answer does not wait for others. To
   * be asked once for each.
   */
  write(write: () => void): void {
    this.#outboxes.add(write)
  }
}

type Schedule = (run: () => void) => void

const DONE = (): void => {}

/** Functions that are called together. Two lists are used in turn, so that a busy loop makes no new ones. */
class Queue {
  #waiting: (() => void)[] = []
  #count = 0
  #other: (() => void)[] = []

  constructor(private readonly schedule: Schedule) {}

  add(call: () => void): void {
    if (this.#count === 0) this.schedule(this.#run)
    this.#waiting[this.#count++] = call
  }

  readonly #run = (): void => {
    const calls = this.#waiting
    const count = this.#count
    this.#waiting = this.#other
    this.#other = calls
    this.#count = 0
    for (let i = 0; i < count; i++) {
      const call = calls[i]
      // A list that is used again must not keep who has gone.
      calls[i] = DONE
      call()
    }
  }
}
