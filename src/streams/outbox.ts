/** Frames on their way to one socket: gathered during a turn of the loop, written at its end. */
import { RecordBuffer } from '../api/records.js'
import type { TextBuffer } from '../api/text-buffer.js'
import { Shared } from './arena.js'
import type { Turn } from './turn.js'
import { FrameBuffer } from './websocket-frames.js'

/** The socket below, after the WebSocket handshake. */
export interface Pipe {
  /** Takes bytes, whole frames; they may change once `writableLength` is 0 again. */
  write(bytes: Uint8Array): void
  /** What is written until `uncork` leaves together. */
  cork(): void
  uncork(): void
  /** Bytes taken and not yet with the kernel. */
  readonly writableLength: number
}

/** What a session may do to its client. */
export interface Outlet {
  /** One text message. */
  text(text: string): void
  /** The same, with the text that is put into what this returns until `endText`. */
  beginText(): TextBuffer
  endText(): void
  /** Records, from `from` up to `to`; those of a turn that nothing comes between make one message. */
  record(words: Int32Array, from: number, to: number): void
  /** Frames made once for many. */
  frames(frames: Shared): void
  /** Bytes accepted and not yet with the kernel. */
  buffered(): number
  close(code: number, reason: string): void
}

/** What gathers beyond this is written before the turn ends. */
const FLUSH_BYTES = 256 * 1024
/** Buffers kept for the next turn, and how large each may have become. */
const SPARE_MAX = 64
const SPARE_BYTES_MAX = 4 * FLUSH_BYTES

export interface OutboxOwner {
  /** Closes the WebSocket. */
  close(code: number, reason: string): void
  /** All that was gathered is with the kernel: nothing else says so where it took it at once. */
  written(): void
  /** Something could not be written, such as for want of memory: its stream is to end, and no other. */
  fail(error: unknown): void
}

export class Outbox implements Outlet {
  readonly #spare: Spare
  #buffers: Buffers | null = null
  #pieces: Shared[] = []
  #piecesBytes = 0
  #open = true

  constructor(
    private readonly pipe: Pipe,
    private readonly turn: Turn,
    spare: Spare,
    private readonly owner: OutboxOwner,
  ) {
    this.#spare = spare
  }

  text(text: string): void {
    this.beginText().put(text)
    this.endText()
  }

  beginText(): TextBuffer {
    return this.#gather().frames.beginText()
  }

  endText(): void {
    const { frames } = this.#gather()
    frames.endText()
    if (frames.length > FLUSH_BYTES) this.flush()
  }

  record(words: Int32Array, from: number, to: number): void {
    const { records } = this.#gather()
    records.putWords(words, from, to)
    if (records.length * 4 > FLUSH_BYTES) this.flush()
  }

  frames(frames: Shared): void {
    this.#gather()
    const before = this.#closeMessage()
    if (before !== null) this.#push(new Shared(before))
    this.#push(frames)
    if (this.#piecesBytes > FLUSH_BYTES) this.flush()
  }

  buffered(): number {
    const gathered =
      this.#buffers === null ? 0 : this.#buffers.frames.length + this.#buffers.records.length * 4
    return this.pipe.writableLength + this.#piecesBytes + gathered
  }

  close(code: number, reason: string): void {
    this.flush()
    this.#open = false
    this.owner.close(code, reason)
  }

  /** The socket is gone: what is here or still to come goes nowhere. */
  discard(): void {
    this.#open = false
    this.flush()
  }

  /** Writes what has gathered. */
  readonly flush = (): void => {
    const buffers = this.#buffers
    if (buffers === null) return
    try {
      const last = this.#closeMessage()
      this.#buffers = null
      this.#spare.give(buffers)
      const pieces = this.#pieces
      if (pieces.length > 0) {
        this.#pieces = []
        this.#piecesBytes = 0
      }
      if (this.#open) this.#write(pieces, last)
    } catch (error) {
      this.#open = false
      this.#buffers = null
      this.#pieces = []
      this.#piecesBytes = 0
      this.owner.fail(error)
    } finally {
      this.turn.arena.release()
    }
  }

  #write(pieces: readonly Shared[], last: Uint8Array | null): void {
    const { pipe } = this
    // A socket that does not pass on what it has would keep the arena to itself.
    const isClogged = pipe.writableLength > 0
    // Mostly there is nothing but this turn's answers.
    const isOne = pieces.length === 0 || (pieces.length === 1 && last === null)
    if (!isOne) pipe.cork()
    for (const piece of pieces) pipe.write(isClogged ? piece.lasting : piece.bytes)
    if (last !== null) pipe.write(isClogged ? Buffer.from(last) : last)
    if (!isOne) pipe.uncork()
    if (pipe.writableLength === 0) this.owner.written()
    else if (!isClogged) this.turn.arena.keep()
  }

  #gather(): Buffers {
    if (this.#buffers === null) {
      this.#buffers = this.#spare.take()
      this.turn.arena.hold()
      this.turn.write(this.flush)
    }
    return this.#buffers
  }

  #push(piece: Shared): void {
    this.#pieces.push(piece)
    this.#piecesBytes += piece.bytes.length
  }

  /** Ends the message that records are gathered for; returns what belongs behind the pieces, or null. */
  #closeMessage(): Uint8Array | null {
    if (this.#buffers === null) return null
    const { frames, records } = this.#buffers
    if (records.length > 0) frames.binary(records.words, 0, records.length)
    records.clear()
    return frames.length === 0 ? null : frames.take(this.turn.arena)
  }
}

interface Buffers {
  readonly frames: FrameBuffer
  readonly records: RecordBuffer
}

/** Buffers between two turns: a socket that is silent has none. */
export class Spare {
  readonly #free: Buffers[] = []

  take(): Buffers {
    return this.#free.pop() ?? { frames: new FrameBuffer(), records: new RecordBuffer(1024) }
  }

  give(buffers: Buffers): void {
    const bytes = buffers.frames.capacity + buffers.records.words.length * 4
    if (this.#free.length < SPARE_MAX && bytes <= SPARE_BYTES_MAX) this.#free.push(buffers)
  }
}
