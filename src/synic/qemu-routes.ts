/** QEMU's SINT routes of a partition, by their SINT and by their GSI (QEMU hw/hyperv/hyperv.c). */
import type { QueuedMessage } from './message-queue.js'

/**
 * One SINT route with a message callback, made at first use and kept. Its staging area holds one message
 * while the slot is full (POSTED); BUSY and the completion of what was delivered pass within one op.
 */
export interface QemuRoute {
  readonly f: number
  readonly vp: number
  readonly sint: number
  /** -1: the route was made while SCONTROL was clear, and has no GSI for its whole life. */
  readonly gsi: number
  staged: QueuedMessage | null
  /** The completion stands in the queue of bottom halves. */
  scheduled: boolean
}

/** By file and SINT, as `queueKey` says; no two have one GSI. */
export class QemuRoutes extends Map<number, QemuRoute> {
  /** Each acknowledgement asks for the route of its GSI: a large partition has thousands. */
  readonly #byGsi = new Map<number, QemuRoute>()

  override set(key: number, route: QemuRoute): this {
    if (route.gsi >= 0) this.#byGsi.set(route.gsi, route)
    return super.set(key, route)
  }

  override clear(): void {
    this.#byGsi.clear()
    super.clear()
  }

  /** Routes stay until all of them go. */
  override delete(): never {
    throw new Error('a QEMU route is not taken back by itself')
  }

  ofGsi(gsi: number): QemuRoute | undefined {
    return this.#byGsi.get(gsi)
  }
}
