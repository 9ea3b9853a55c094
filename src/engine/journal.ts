/** The op log of one partition: ops as words, results as text, bounded, numbered by seq. */

const CHUNK_OPS = 512
/** A chunk goes as a whole, so none may take more than this part of the bytes allowed. */
const CHUNKS_MIN = 16

/** A run of consecutive ops. */
interface Chunk {
  readonly firstSeq: number
  words: Int32Array
  length: number
  /** Where each op begins in `words`, and its result. */
  readonly starts: number[]
  readonly results: string[]
  bytes: number
}

export interface JournalEntry {
  readonly seq: number
  readonly words: Int32Array
  readonly at: number
  readonly result: string
}

export class Journal {
  readonly #chunks: Chunk[] = []
  #ops = 0
  #bytes = 0

  /**
   * @param baseSeq seq of the state the log begins after: 0 at creation
   * @param opsMax ops kept; 0 keeps none
   * @param bytesMax bytes of results and ops kept
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

  #nextSeq: number

  /** Records the op of `count` words at `at`, which got `seq`. */
  append(seq: number, words: Int32Array, at: number, count: number, result: string): void {
    this.#nextSeq = seq + 1
    if (this.opsMax === 0) return
    let chunk = this.#chunks[this.#chunks.length - 1]
    if (chunk === undefined || chunk.starts.length === CHUNK_OPS || chunk.bytes > this.bytesMax / CHUNKS_MIN)
      chunk = this.#open(seq)
    if (chunk.length + count > chunk.words.length) grow(chunk, count)
    const to = chunk.length
    const target = chunk.words
    for (let i = 0; i < count; i++) target[to + i] = words[at + i]
    chunk.starts.push(to)
    chunk.results.push(result)
    chunk.length = to + count
    const bytes = count * 4 + result.length
    chunk.bytes += bytes
    this.#bytes += bytes
    this.#ops++
  }

  /** Entries with `from` <= seq <= `to`, oldest first. */
  *entries(from: number, to: number): Generator<JournalEntry> {
    for (const chunk of this.#chunks) {
      if (chunk.firstSeq > to) return
      for (let i = Math.max(0, from - chunk.firstSeq); i < chunk.starts.length; i++) {
        const seq = chunk.firstSeq + i
        if (seq > to) return
        yield { seq, words: chunk.words, at: chunk.starts[i], result: chunk.results[i] }
      }
    }
  }

  #open(seq: number): Chunk {
    while (this.#chunks.length > 0 && (this.#ops + CHUNK_OPS > this.opsMax || this.#bytes > this.bytesMax)) {
      const oldest = this.#chunks.shift() as Chunk
      this.#ops -= oldest.starts.length
      this.#bytes -= oldest.bytes
    }
    const chunk = { firstSeq: seq, words: new Int32Array(64), length: 0, starts: [], results: [], bytes: 0 }
    this.#chunks.push(chunk)
    return chunk
  }
}

function grow(chunk: Chunk, count: number): void {
  const words = new Int32Array(Math.max(chunk.words.length * 2, chunk.length + count))
  words.set(chunk.words)
  chunk.words = words
}
