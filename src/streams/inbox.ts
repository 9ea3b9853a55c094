/**
 * Messages out of the bytes of one socket, ahead of the WebSocket library (ADR 6). To read a frame takes the
 * library longer than to apply the op that is in it, so the frames that come all the time are read here:
 * messages of one frame, of up to 64 KiB. What is rare or wrong is the library's, and so is all that follows.
 */
import { isUtf8 } from 'node:buffer'
import type { Incoming } from './incoming.js'

/** RFC 6455, section 5.2: the first byte of frames that stand for themselves. */
const FIN_TEXT = 0x81
const FIN_BINARY = 0x82
const FIN_PING = 0x89
const FIN_PONG = 0x8a
const MASKED = 0x80
const LENGTH = 0x7f
/** The length is in the next two bytes, or in the next eight. */
const LENGTH_16 = 126
const LENGTH_64 = 127
const MASK_BYTES = 4

/** Not enough bytes yet to tell how long a frame is. */
const UNKNOWN = 0
const NOT_OURS = -1

export interface InboxReader {
  /** One message; it holds until this returns. */
  message(message: Incoming): void
  /** A ping or a pong, whole, for the library. */
  control(frame: Buffer): void
  /** All that follows is the library's, these bytes first. */
  leave(rest: Buffer): void
}

export class Inbox {
  /** A frame that the end of a chunk cut, as long as it will be, and how much of it is there. */
  #cut: Buffer | null = null
  #cutBytes = 0
  /** The first bytes of one whose length is not known. */
  #head: Buffer | null = null

  /**
   * @param message where messages are put; may serve many sockets
   * @param payloadBytesMax longer messages are the library's to refuse
   */
  constructor(
    private readonly message: Incoming,
    private readonly payloadBytesMax: number,
    private readonly reader: InboxReader,
  ) {}

  /** Reads what has come; not to be called again after `leave`. */
  read(chunk: Buffer): void {
    const rest = this.#mend(chunk)
    const end = rest.length
    for (let at = 0; at < end; ) {
      const bytes = this.#frameBytes(rest, at)
      if (bytes === NOT_OURS) return this.reader.leave(rest.subarray(at))
      if (bytes === UNKNOWN) {
        this.#head = Buffer.from(rest.subarray(at))
        return
      }
      if (at + bytes > end) {
        this.#cut = Buffer.allocUnsafe(bytes)
        this.#cutBytes = rest.copy(this.#cut, 0, at)
        return
      }
      if (!this.#take(rest, at, bytes)) return this.reader.leave(rest.subarray(at))
      at += bytes
    }
  }

  /** Completes what the last chunk ended in; returns what is behind that. */
  #mend(chunk: Buffer): Buffer {
    const head = this.#head
    const cut = this.#cut
    if (head !== null) {
      this.#head = null
      return Buffer.concat([head, chunk])
    }
    if (cut === null) return chunk
    const copied = chunk.copy(cut, this.#cutBytes)
    this.#cutBytes += copied
    const rest = chunk.subarray(copied)
    if (this.#cutBytes < cut.length) return rest
    this.#cut = null
    if (this.#take(cut, 0, cut.length)) return rest
    // Read again with what follows, which is the library's, too.
    return Buffer.concat([cut, rest])
  }

  /** How many bytes the frame at `at` has, all in all. */
  #frameBytes(bytes: Buffer, at: number): number {
    const first = bytes[at]
    const isMessage = first === FIN_TEXT || first === FIN_BINARY
    if (!isMessage && first !== FIN_PING && first !== FIN_PONG) return NOT_OURS
    const left = bytes.length - at
    if (left < 2) return UNKNOWN
    const second = bytes[at + 1]
    let payload = second & LENGTH
    // Pings and pongs are short (section 5.5).
    if ((second & MASKED) === 0 || payload === LENGTH_64 || (payload === LENGTH_16 && !isMessage))
      return NOT_OURS
    let header = 2
    if (payload === LENGTH_16) {
      if (left < 4) return UNKNOWN
      payload = (bytes[at + 2] << 8) | bytes[at + 3]
      header = 4
    }
    return payload > this.payloadBytesMax ? NOT_OURS : header + MASK_BYTES + payload
  }

  /** Takes a whole frame; false if it is text that is none. */
  #take(bytes: Buffer, at: number, frameBytes: number): boolean {
    const first = bytes[at]
    if (first === FIN_PING || first === FIN_PONG) {
      this.reader.control(bytes.subarray(at, at + frameBytes))
      return true
    }
    const isBinary = first === FIN_BINARY
    const from = at + MASK_BYTES + ((bytes[at + 1] & LENGTH) === LENGTH_16 ? 4 : 2)
    const length = at + frameBytes - from
    const { message } = this
    message.unmask(bytes, from, length, isBinary)
    if (!isBinary && !isUtf8(message.bytes.subarray(0, length))) return false
    this.reader.message(message)
    return true
  }
}
