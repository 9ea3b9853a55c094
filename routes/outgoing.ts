/** Large answers not taken yet: beyond a bound none is begun, and who takes nothing is cut off. */
import type { ServerResponse } from 'node:http'
import { InputError } from '../src/api/problem.js'

/** Smaller answers are not counted: sockets bound them. */
const LARGE_CHARS = 64 * 1024

export class Outgoing {
  #bytes = 0

  /** @param stallMs  how long a client may take nothing of a large answer before its connection ends */
  constructor(
    private readonly bytesMax: number,
    private readonly stallMs: number,
  ) {}

  /** @throws InputError too-busy, before anything was done */
  admit(): void {
    if (this.#bytes <= this.bytesMax) return
    throw new InputError([], 'too-busy', 'Clients have not yet taken the large answers before this one.')
  }

  /** Follows an answer until it has gone, or its client has. */
  track(raw: ServerResponse, text: string): void {
    if (text.length < LARGE_CHARS) return
    this.#bytes += text.length
    // What is taken starts it anew, what the kernel took at first once, too: so it may come to twice as long.
    // Without a listener Node destroys the socket.
    raw.setTimeout(this.stallMs)
    const { socket } = raw.req
    raw.once('close', () => {
      this.#bytes -= text.length
      // Node takes it back only where no request stands behind.
      if (socket.timeout === this.stallMs) socket.setTimeout(0)
    })
  }
}
