/**
 * Messages out of the bytes of one socket, ahead of the WebSocket library (ADR 6). To read a frame takes the
 * library longer than to apply the op that is in it, so the frames that come all the time are read here:
 * messages of one frame, of up to 64 KiB. What is rare or wrong is the library's, and so is all that follows.
 */
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
/** It is the library's. */
const NOT_OURS = -1
/** A frame was taken, and the next one may be; or is to wait. */
const GO_ON = 1
const STOP = 2

const SPARE_MAX = 8

export interface InboxReader {
  /** Takes one message, which holds until this returns, and says whether the next one may come. */
  message(message: Incoming): boolean
  /** A ping or a pong, whole, for the library. */
  control(frame: Buffer): void
  /** All that follows is the library's, these bytes first. */
  leave(rest: Buffer): void
}

/** Memory for frames that come in pieces: a new one for each is garbage outside the heap. */
export class SpareFrames {
  readonly #free: Buffer[] = []

  take(bytes: number): Buffer {
    const buffer = this.#free.pop()
    return buffer !== undefined && buffer.length >= bytes ? buffer : Buffer.allocUnsafeSlow(bytes)
  }

  give(buffer: Buffer): void {
    if (this.#free.length < SPARE_MAX) this.#free.push(buffer)
  }
}

export class Inbox {
  /** A frame that the end of a chunk cut, how long it will be, and how much of it is there. */
  #cut: Buffer | null = null
  #cutLength = 0
  #cutBytes = 0
  /** The first bytes of one whose length is not known. */
  #head: Buffer | null = null
  /** What came behind a message that nothing may follow for now; null while anything may. */
  #rest: Buffer | null = null

  /**
   * @param message where messages are put; may serve many sockets
   * @param payloadBytesMax longer messages are the library's to refuse
   * @param spare where frames are put together; may serve many sockets
   */
  constructor(
    private readonly message: Incoming,
    private readonly payloadBytesMax: number,
    private readonly reader: InboxReader,
    private readonly spare = new SpareFrames(),
  ) {}

  /** A message was taken that nothing is to follow before `resume`. */
  get isStopped(): boolean {
    return this.#rest !== null
  }

  /** Goes on behind it; the next message may stop it again. */
  resume(): void {
    const rest = this.#rest
    this.#rest = null
    if (rest !== null) this.#readFrames(rest)
  }

  /** Reads what has come; not to be called again after `leave`. */
  read(chunk: Buffer): void {
    const head = this.#head
    const cut = this.#cut
    if (this.#rest !== null) this.#rest = Buffer.concat([this.#rest, chunk])
    else if (cut !== null) this.#complete(cut, chunk)
    else if (head === null) this.#readFrames(chunk)
    else {
      this.#head = null
      this.#readFrames(Buffer.concat([head, chunk]))
    }
  }

  /** Goes on with a frame that the chunk before ended in. */
  #complete(cut: Buffer, chunk: Buffer): void {
    const copied = chunk.copy(cut, this.#cutBytes, 0, this.#cutLength - this.#cutBytes)
    this.#cutBytes += copied
    if (this.#cutBytes < this.#cutLength) return
    this.#cut = null
    const rest = chunk.subarray(copied)
    const outcome = this.#take(cut, 0, this.#cutLength)
    if (outcome === NOT_OURS) this.reader.leave(Buffer.concat([cut.subarray(0, this.#cutLength), rest]))
    // The library keeps what it is given of pings.
    if (isMessage(cut[0])) this.spare.give(cut)
    if (outcome === NOT_OURS) return
    if (outcome === STOP) this.#rest = rest
    else this.#readFrames(rest)
  }

  #readFrames(chunk: Buffer): void {
    const end = chunk.length
    for (let at = 0; at < end; ) {
      const bytes = this.#frameBytes(chunk, at)
      if (bytes === NOT_OURS) return this.reader.leave(chunk.subarray(at))
      if (bytes === UNKNOWN) {
        this.#head = Buffer.from(chunk.subarray(at))
        return
      }
      if (at + bytes > end) {
        this.#cut = this.spare.take(bytes)
        this.#cutLength = bytes
        this.#cutBytes = chunk.copy(this.#cut, 0, at)
        return
      }
      const outcome = this.#take(chunk, at, bytes)
      if (outcome === NOT_OURS) return this.reader.leave(chunk.subarray(at))
      at += bytes
      if (outcome === STOP) {
        this.#rest = chunk.subarray(at)
        return
      }
    }
  }

  /** How many bytes the frame at `at` has, all in all. */
  #frameBytes(bytes: Buffer, at: number): number {
    const first = bytes[at]
    if (!isMessage(first) && first !== FIN_PING && first !== FIN_PONG) return NOT_OURS
    const left = bytes.length - at
    if (left < 2) return UNKNOWN
    const second = bytes[at + 1]
    let payload = second & LENGTH
    // Pings and pongs are short (section 5.5).
    if ((second & MASKED) === 0 || payload === LENGTH_64 || (payload === LENGTH_16 && !isMessage(first)))
      return NOT_OURS
    let header = 2
    if (payload === LENGTH_16) {
      if (left < 4) return UNKNOWN
      payload = (bytes[at + 2] << 8) | bytes[at + 3]
      header = 4
    }
    return payload > this.payloadBytesMax ? NOT_OURS : header + MASK_BYTES + payload
  }

  /** Takes a whole frame: GO_ON, STOP, or NOT_OURS if it is text that is none. */
  #take(bytes: Buffer, at: number, frameBytes: number): number {
    const first = bytes[at]
    if (first === FIN_PING || first === FIN_PONG) {
      this.reader.control(bytes.subarray(at, at + frameBytes))
      return GO_ON
    }
    const isBinary = first === FIN_BINARY
    const from = at + MASK_BYTES + ((bytes[at + 1] & LENGTH) === LENGTH_16 ? 4 : 2)
    const length = at + frameBytes - from
    const { message } = this
    message.unmask(bytes, from, length, isBinary)
    if (!isBinary && !message.isUtf8()) return NOT_OURS
    return this.reader.message(message) ? GO_ON : STOP
  }
}

function isMessage(first: number): boolean {
  return first === FIN_TEXT || first === FIN_BINARY
}
