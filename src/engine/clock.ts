/** Realtime partitions: wakes each when its next timer is due, and lets it catch up. */
import type { PartitionHost } from './partition-host.js'

/** A wait longer than this is taken in parts: Node's timers hold 31 bits of milliseconds. */
const LONGEST_WAIT_MS = 60_000

export class RealtimeClock {
  readonly #timers = new Map<PartitionHost, NodeJS.Timeout>()

  /** Begins to follow a partition. */
  add(host: PartitionHost): void {
    if (host.clock !== 'realtime') return
    host.onSettled = () => this.#arm(host)
    this.#arm(host)
  }

  remove(host: PartitionHost): void {
    host.onSettled = null
    clearTimeout(this.#timers.get(host))
    this.#timers.delete(host)
  }

  close(): void {
    for (const host of [...this.#timers.keys()]) this.remove(host)
  }

  /**
   * Node's timers fire up to a millisecond early, so a wake looks at the clock again and may wait once more.
   */
  #arm(host: PartitionHost, restMs = 0): void {
    clearTimeout(this.#timers.get(host))
    const wait = host.msUntilDue()
    if (wait === Number.POSITIVE_INFINITY || host.partition.machine.paused) {
      this.#timers.delete(host)
      return
    }
    const timer = setTimeout(
      () => {
        const began = performance.now()
        host.catchUp()
        // A clock that cannot keep up falls behind; it never takes more than half of the time for itself.
        this.#arm(host, performance.now() - began)
      },
      Math.min(Math.max(1, Math.ceil(wait), Math.ceil(restMs)), LONGEST_WAIT_MS),
    )
    // A server that is told to stop does not wait for simulated timers.
    timer.unref()
    this.#timers.set(host, timer)
  }
}
