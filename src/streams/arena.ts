/**
 * Memory for bytes on their way to sockets, used again as soon as the kernel has them. A buffer for each
 * write would be 300 bytes of garbage a message outside the heap, which V8 answers with collections of all
 * of it.
 */

/** Room for what one socket's turn brings, mostly; whatever does not fit has a buffer of its own. */
const SLAB_BYTES = 256 * 1024

export class Arena {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  /** Up to here the slab is in use for good; up to `#end` it is while anybody holds it. */
  #kept = 0
  #end = 0
  #holders = 0

  /** Whoever has carved bytes, or is going to, and has not written them yet. */
  hold(): void {
    this.#holders++
  }

  /** It has written all it had. Bytes that its socket has not passed on stay as they are: see `keep`. */
  release(): void {
    if (--this.#holders === 0) this.#end = this.#kept
  }

  /** What was carved so far is not used again: somebody still needs it. */
  keep(): void {
    this.#kept = this.#end
  }

  /** Bytes to fill, good until nobody holds the arena any more. */
  carve(length: number): Buffer {
    if (length > SLAB_BYTES) return Buffer.allocUnsafeSlow(length)
    if (this.#end + length > SLAB_BYTES) {
      // Views of the old one keep it alive as long as it takes.
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#kept = 0
      this.#end = 0
    }
    const begin = this.#end
    this.#end += length
    return this.#slab.subarray(begin, this.#end)
  }
}

/** Bytes of an arena that several sockets get. A copy is made once for all who cannot take them at once. */
export class Shared {
  #lasting: Uint8Array | null = null

  constructor(readonly bytes: Uint8Array) {}

  get lasting(): Uint8Array {
    this.#lasting ??= Buffer.from(this.bytes)
    return this.#lasting
  }
}
