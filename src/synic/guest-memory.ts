/** Sparse guest memory in 4 KiB pages, copied on write after a fork. */

export const PAGE_WORDS = 1024
/** A frame number is chunk << 8 | index in the chunk. Frame 0 means: no page, reads as zero. */
const CHUNK_SHIFT = 8
const CHUNK_PAGES_MAX = 64
/** Chunk 0, which holds nothing. */
const NO_CHUNK = new Int32Array(0)
const ZERO_PAGE = new Int32Array(PAGE_WORDS)

export class GuestMemory {
  /** Words of each chunk; chunk 0 is empty so that no frame has number 0. */
  readonly chunks: Int32Array[]
  /** Frames below this one are shared with a fork and must be copied before a write. */
  ownFrom: number
  readonly #frames: Map<number, number>
  #next: number
  #end: number

  constructor(chunks: Int32Array[] = [NO_CHUNK], frames: Map<number, number> = new Map()) {
    this.chunks = chunks
    this.#frames = frames
    this.ownFrom = chunks.length << CHUNK_SHIFT
    this.#next = 0
    this.#end = 0
  }

  /** Pages that guest RAM holds. */
  get pageCount(): number {
    return this.#frames.size
  }

  /** Guest page numbers of those pages, ascending. */
  gpns(): number[] {
    return [...this.#frames.keys()].sort((a, b) => a - b)
  }

  /** The words of the chunk that holds `frame`. */
  chunk(frame: number): Int32Array {
    return this.chunks[frame >> CHUNK_SHIFT]
  }

  /** Where `frame` begins in its chunk, in words. */
  offset(frame: number): number {
    return (frame & ((1 << CHUNK_SHIFT) - 1)) * PAGE_WORDS
  }

  /** The 1,024 words of a frame; all zero for frame 0. Not for writing. */
  view(frame: number): Int32Array {
    if (frame === 0) return ZERO_PAGE
    const at = this.offset(frame)
    return this.chunk(frame).subarray(at, at + PAGE_WORDS)
  }

  /** Bytes of a frame, for writing: the frame must be own. */
  bytes(frame: number): Uint8Array {
    const chunk = this.chunk(frame)
    return new Uint8Array(chunk.buffer, chunk.byteOffset + this.offset(frame) * 4, PAGE_WORDS * 4)
  }

  /** A new frame, zero. */
  allocate(): number {
    if (this.#next === this.#end) {
      // Chunks grow with the partition: two pages suffice for one idle vCPU.
      const own = this.chunks.length - (this.ownFrom >> CHUNK_SHIFT)
      // The shift is held down: 2 << 30 is negative, and 1,700 pages are no rarity.
      const pages = Math.min(2 << Math.min(own, 8), CHUNK_PAGES_MAX)
      this.#next = this.chunks.length << CHUNK_SHIFT
      this.#end = this.#next + pages
      this.chunks.push(new Int32Array(pages * PAGE_WORDS))
    }
    return this.#next++
  }

  /** A frame that may be written and holds what `frame` holds. */
  own(frame: number): number {
    if (frame >= this.ownFrom) return frame
    const copy = this.allocate()
    if (frame !== 0) this.chunk(copy).set(this.view(frame), this.offset(copy))
    return copy
  }

  /** Guest RAM at a page number, 0 if never written. */
  frameAt(gpn: number): number {
    return this.#frames.get(gpn) ?? 0
  }

  /** Guest RAM at a page number, for writing. */
  writableFrameAt(gpn: number): number {
    const frame = this.#frames.get(gpn) ?? 0
    if (frame >= this.ownFrom) return frame
    const own = this.own(frame)
    this.#frames.set(gpn, own)
    return own
  }

  /** Another memory with the same content; neither sees the other's later writes. */
  fork(): GuestMemory {
    const fork = new GuestMemory([...this.chunks], new Map(this.#frames))
    // What is left of the last chunk stays this side's: no frame of the fork lies there.
    this.ownFrom = this.#next === this.#end ? this.chunks.length << CHUNK_SHIFT : this.#next
    return fork
  }
}
