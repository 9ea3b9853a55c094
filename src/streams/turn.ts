/**
 * One turn of the event loop: news is handed out and sockets are written to once, at its end, however many
 * batches came in it. A write for each would cost ten times as much.
 */
export class Turn {
  #hubs = new Set<() => void>()
  #outboxes = new Set<() => void>()
  #ends = false

  /** @param later runs a function at the end of the turn, as `setImmediate` does */
  constructor(private readonly later: (run: () => void) => void) {}

  /** Calls `distribute` at the end of the turn, before anything is written. */
  distribute(distribute: () => void): void {
    this.#hubs.add(distribute)
    this.#end()
  }

  /** Calls `write` at the end of the turn. */
  write(write: () => void): void {
    this.#outboxes.add(write)
    this.#end()
  }

  #end(): void {
    if (this.#ends) return
    this.#ends = true
    this.later(() => {
      this.#ends = false
      const hubs = this.#hubs
      this.#hubs = new Set()
      for (const distribute of hubs) distribute()
      const outboxes = this.#outboxes
      this.#outboxes = new Set()
      for (const write of outboxes) write()
    })
  }
}
