/** Bytes of large answers that clients have not taken yet: beyond a bound nothing large is begun. */
import type { ServerResponse } from 'node:http'
import { InputError } from '../src/api/problem.js'

/** Smaller answers are not counted: sockets bound them. */
const LARGE_CHARS = 64 * 1024

export class Outgoing {
  #bytes = 0

  constructor(private readonly bytesMax: number) {}

  /** @throws InputError too-busy, before anything was done */
  admit(): void {
    if (this.#bytes <= this.bytesMax) return
    throw new InputError([], 'too-busy', 'Clients have not yet taken the large answers before this one.')
  }

  /** Follows an answer until it has gone, or its client has. */
  track(raw: ServerResponse, text: string): void {
    if (text.length < LARGE_CHARS) return
    this.#bytes += text.length
    raw.once('close', () => {
      this.#bytes -= text.length
    })
  }
}
