/** The op log of one partition: ops and results as records of words, bounded, numbered by seq. */
import { putResult } from '../api/result-record.js'
import type { Effects } from '../synic/effects.js'
import { OP_LENGTH } from '../synic/op.js'
import { WordBuffer } from '../synic/word-buffer.js'

const CHUNK_OPS = 512
/** A chunk goes as a whole, so none may take more than this part of the bytes allowed. */
const CHUNKS_MIN = 16
/** A chunk begins as large as the last one became, within these bounds; most partitions see few ops. */
const FIRST_WORDS = 64
const RECYCLED_WORDS_MAX = 32 * CHUNK_OPS

/** A run of consecutive ops. */
interface Chunk {
  firstSeq: number
  count: number
  readonly buffer: WordBuffer
  /** Where each op begins; its result follows it. Made when there are too many to be few. */
  starts: Int32Array
}

/** Most partitions see few ops. */
const FEW_OPS = 16

export interface JournalEntry {
  readonly seq: number
  readonly words: Int32Array
  readonly at: number
  /** Where its result begins. */
  readonly resultAt: number
}

export class Journal {
  readonly #chunks: Chunk[] = []
  #ops = 0
  #bytes = 0

  /**
   * @param baseSeq seq of the state the log begins after: 0 at creation
   * @param opsMax ops kept, and up to 512 more; 0 keeps none
   * @param bytesMax bytes of ops and results kept
   */
  constructor(
    readonly baseSeq: number,
    private readonly opsMax: number,
    private readonly bytesMax: number,
  ) {
    this.#nextSeq = baseSeq + 1
  }

  /** Seq of the oldest op still here; one past the newest if none is. */
  get firstSeq(): number {
    return this.#chunks[0]?.firstSeq ?? this.#nextSeq
  }

  /** Seq of the newest op, kept or not. */
  get lastSeq(): number {
    return this.#nextSeq - 1
  }

  #nextSeq: number

  /** Records the op of `count` words at `at`, which got `seq`, and what it did. */
  append(seq: number, words: Int32Array, at: number, count: number, effects: Effects): void {
    this.#nextSeq = seq + 1
    if (this.opsMax === 0) return
    let chunk = this.#chunks[this.#chunks.length - 1]
    if (
      chunk === undefined ||
      chunk.count === CHUNK_OPS ||
      chunk.buffer.length * 4 > this.bytesMax / CHUNKS_MIN
    ) {
      chunk = this.#open(seq)
    }
    const { buffer } = chunk
    const start = buffer.length
    buffer.putWords(words, at, at + count)
    putResult(buffer, effects)
    if (chunk.count === chunk.starts.length) growStarts(chunk)
    chunk.starts[chunk.count++] = start
    this.#bytes += (buffer.length - start) * 4
    this.#ops++
  }

  /** Appends the result of the newest op to `out`. False: it is not here. */
  putLastResult(out: WordBuffer): boolean {
    const chunk = this.#chunks[this.#chunks.length - 1]
    if (chunk === undefined) return false
    const { words, length } = chunk.buffer
    const start = chunk.starts[chunk.count - 1]
    out.putWords(words, start + words[start + OP_LENGTH], length)
    return true
  }

  /** Entries with `from` <= seq <= `to`, oldest first. */
  *entries(from: number, to: number): Generator<JournalEntry> {
    for (const chunk of this.#chunks) {
      if (chunk.firstSeq > to) return
      for (let i = Math.max(0, from - chunk.firstSeq); i < chunk.count; i++) {
        const seq = chunk.firstSeq + i
        if (seq > to) return
        const { words } = chunk.buffer
        const at = chunk.starts[i]
        yield { seq, words, at, resultAt: at + words[at + OP_LENGTH] }
      }
    }
  }

  /** Are there as many as asked for without the oldest chunk, or too many bytes with it? */
  #isTooMuch(oldest: number): boolean {
    return this.#ops - oldest >= this.opsMax || this.#bytes > this.bytesMax
  }

  #open(seq: number): Chunk {
    // The log of a busy partition turns over all the time: what is forgotten makes room for what comes.
    let oldest: Chunk | undefined
    while (this.#chunks.length > 0 && this.#isTooMuch(this.#chunks[0].count)) {
      oldest = this.#chunks.shift() as Chunk
      this.#ops -= oldest.count
      this.#bytes -= oldest.buffer.length * 4
    }
    let chunk = oldest
    if (chunk === undefined || chunk.buffer.words.length > RECYCLED_WORDS_MAX) {
      const { words } = this.#chunks[this.#chunks.length - 1]?.buffer ?? { words: [] }
      const buffer = new WordBuffer(Math.max(FIRST_WORDS, Math.min(words.length, RECYCLED_WORDS_MAX)))
      chunk = { firstSeq: seq, count: 0, buffer, starts: new Int32Array(FEW_OPS) }
    }
    chunk.firstSeq = seq
    chunk.count = 0
    chunk.buffer.clear()
    this.#chunks.push(chunk)
    return chunk
  }
}

function growStarts(chunk: Chunk): void {
  const starts = new Int32Array(CHUNK_OPS)
  starts.set(chunk.starts)
  chunk.starts = starts
}
