// Counts a server's WebSocket frames (RFC 6455) in chunks that are cut anywhere, and looks at no payload.

const HEADER_MAX = 10

export class FrameWalker {
  readonly #header = Buffer.alloc(HEADER_MAX)
  #headerBytes = 0
  /** Payload of the frame begun last, and how much of it is still to come. */
  #payloadBytes = 0
  #leftBytes = 0

  /** @param onFrame told of each frame that has come whole */
  constructor(private readonly onFrame: (opcode: number, payloadBytes: number) => void) {}

  push(chunk: Uint8Array, end: number): void {
    for (let at = 0; at < end; ) {
      if (this.#leftBytes === 0) this.#readHeader(chunk[at++])
      else {
        const bytes = Math.min(this.#leftBytes, end - at)
        this.#leftBytes -= bytes
        at += bytes
        if (this.#leftBytes === 0) this.onFrame(this.#header[0] & 0xf, this.#payloadBytes)
      }
    }
  }

  #readHeader(byte: number): void {
    this.#header[this.#headerBytes++] = byte
    if (this.#headerBytes < 2) return
    const length = this.#header[1]
    const headerBytes = length < 126 ? 2 : length === 126 ? 4 : 10
    if (this.#headerBytes < headerBytes) return
    this.#headerBytes = 0
    this.#payloadBytes =
      headerBytes === 2
        ? length
        : this.#header.readUIntBE(headerBytes === 4 ? 2 : 4, headerBytes === 4 ? 2 : 6)
    this.#leftBytes = this.#payloadBytes
    if (this.#leftBytes === 0) this.onFrame(this.#header[0] & 0xf, 0)
  }
}
