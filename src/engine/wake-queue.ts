/** Things by the moment each is to be woken: gives out the small numbers that a due queue keeps in order. */
import { DueQueue } from '../synic/due-queue.js'

export class WakeQueue<T> {
  readonly #due = new DueQueue()
  readonly #items: T[] = []
  /** Slots of things that are gone, for the next ones: the queue is as large as it ever had to be. */
  readonly #free: number[] = []

  /** When the first thing is to be woken, or Infinity. */
  get first(): number {
    return this.#due.first
  }

  /** The slot of a new thing, which is not to be woken yet. */
  add(item: T): number {
    const slot = this.#free.pop() ?? this.#items.length
    this.#items[slot] = item
    return slot
  }

  /** Forgets a thing; its slot may be given out again. */
  remove(slot: number): void {
    this.#due.cancel(slot)
    this.#free.push(slot)
  }

  /** Sets when a thing is to be woken, instead of what was set before. */
  arm(slot: number, atMs: number): void {
    this.#due.arm(slot, atMs)
  }

  /** Takes the first thing that waits; it waits no longer. */
  take(): T {
    return this.#items[this.#due.pop()]
  }
}
