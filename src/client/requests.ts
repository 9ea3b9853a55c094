/** Batches of a stream that wait to be sent or answered, in order and bounded. */

import type { Answer, Refusal } from '../api/server-frames.js'
import { SynicdBusy, SynicdInterrupted, SynicdProblem, SynicdTooLarge } from './errors.js'
import type { BatchResult } from './partition.js'

type Frame = string | Uint8Array

const encoder = new TextEncoder()
const bytesOf = (frame: Frame) => (typeof frame === 'string' ? encoder.encode(frame).length : frame.length)

/** What `synic.v1.bin` has room for. */
const ID_MAX = 0xffff_ffff

/** A number for the next request: never 0, and none that somebody waits for. */
export function nextId(last: number, isTaken: (id: number) => boolean): number {
  let id = last
  do id = id >= ID_MAX ? 1 : id + 1
  while (isTaken(id))
  return id
}

interface Pending {
  readonly frame: Frame
  readonly resolve: (result: BatchResult) => void
  readonly reject: (reason: unknown) => void
  sent: boolean
}

export class Requests {
  /** By id, in the order they were asked for. */
  readonly #pending = new Map<number, Pending>()
  /** Lengths of those that were sent, given up, and not answered since: the server may still read them. */
  readonly #givenUp = new Map<number, number>()
  #idle: (() => void)[] = []

  constructor(private readonly max: number) {}

  /**
   * The answer to a frame. `send` tries to send it now; what it leaves waits for `flush`.
   * @param send says whether it could
   */
  async add(
    id: number,
    frame: Frame,
    send: (frame: Frame) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<BatchResult> {
    signal?.throwIfAborted()
    if (this.#pending.size >= this.max) throw new SynicdBusy(this.max)
    let stop = () => {}
    try {
      return await new Promise<BatchResult>((resolve, reject) => {
        stop = () => this.#giveUp(id, signal?.reason)
        signal?.addEventListener('abort', stop)
        this.#pending.set(id, { frame, resolve, reject, sent: send(frame) })
      })
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Is this the number of one that waits, or that was given up and may still be answered? */
  has(id: number): boolean {
    return this.#pending.has(id) || this.#givenUp.has(id)
  }

  /** Sends what has not been sent. */
  flush(send: (frame: Frame) => boolean): void {
    for (const pending of this.#pending.values()) pending.sent ||= send(pending.frame)
  }

  /** An answer nobody waits for any more was given up. */
  settle(frame: Answer | Refusal): void {
    this.#givenUp.delete(frame.id)
    const pending = this.#take(frame.id)
    if ('problem' in frame) pending?.reject(new SynicdProblem(frame.problem))
    else pending?.resolve({ seq: frame.seq, results: frame.results })
  }

  /**
   * The server hung up on a message that was too large for it. That was the longest of those in doubt, or the
   * longest came behind it: either way it was not applied. Of the others nobody can tell; nor of any, if one
   * as long was given up.
   */
  refuseLongest(): void {
    let longest = -1
    let length = -1
    for (const [id, { sent, frame }] of this.#pending) {
      const bytes = sent ? bytesOf(frame) : -1
      if (bytes > length) {
        longest = id
        length = bytes
      }
    }
    for (const bytes of this.#givenUp.values()) if (bytes >= length) return
    this.#take(longest)?.reject(new SynicdTooLarge(length))
  }

  /** The connection broke: what was sent is in doubt, the rest still waits. */
  interrupt(cause: unknown): void {
    this.#givenUp.clear()
    for (const [id, { sent }] of this.#pending) {
      if (sent) this.#take(id)?.reject(new SynicdInterrupted(cause))
    }
  }

  /** It is over for all. */
  fail(reason: unknown): void {
    for (const id of this.#pending.keys()) this.#take(id)?.reject(reason)
  }

  /** Resolved when nothing waits. */
  async idle(): Promise<void> {
    if (this.#pending.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #giveUp(id: number, reason: unknown): void {
    const pending = this.#take(id)
    if (pending?.sent === true) this.#givenUp.set(id, bytesOf(pending.frame))
    pending?.reject(reason)
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (this.#pending.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
    return pending
  }
}
