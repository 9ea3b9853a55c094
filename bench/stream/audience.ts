// One client posts, others are told: how many deliveries a second, or how long each takes.
import { setTimeout as sleep } from 'node:timers/promises'
import { ANSWERS_ONLY, type Batch, BIN_PROTOCOL, MESSAGES_ONLY } from './frames.js'
import { Peer, type Reader } from './peer.js'
import type { Server } from './server.js'

const DIALS_AT_ONCE = 100
/** Batches that one write may bring, and that may be under way while deliveries are timed. */
const FRAMES_MAX = 128
const TIMES_KEPT = 65_536

export interface Deliveries {
  readonly perSecond: number
  /** Per second of the server's CPU time. */
  readonly perCpuSecond: number
}

export class Audience implements Reader {
  /** Messages that came, of all listeners together, and batches posted, both since the beginning. */
  #delivered = 0
  #posted = 0
  readonly #perBatch: number
  /** Batches that are kept under way. */
  #window = 0
  #drained: (() => void) | null = null
  readonly #frames: Buffer
  /** When the batches were posted, in a ring, and how long each message took: while that is asked for. */
  readonly #postedMs = new Float64Array(TIMES_KEPT)
  #tookMs: number[] | null = null
  #timed = 0

  private constructor(
    private readonly server: Server,
    private readonly posted: Batch,
    private readonly told: Batch,
    private readonly poster: Peer,
    private readonly listeners: readonly Peer[],
    messages: number,
  ) {
    this.#perBatch = messages * listeners.length
    this.#frames = Buffer.concat(Array.from({ length: FRAMES_MAX }, () => posted.frame))
    for (const listener of listeners) listener.reader = this
  }

  /**
   * @param posted what the one client posts each time: `messages` messages
   * @param told the same batch in the protocol that the `size` listeners speak
   */
  static async connect(
    server: Server,
    posted: Batch,
    told: Batch,
    messages: number,
    size: number,
  ): Promise<Audience> {
    const { protocol, notificationBytes } = told
    const isSubject = server.kind !== 'plain'
    const listen = isSubject ? MESSAGES_ONLY : '/listen'
    const post = isSubject
      ? ANSWERS_ONLY
      : `/tell?bytes=${notificationBytes}&times=${messages}&answer=${posted.answerBytes}`
    const listeners: Peer[] = []
    while (listeners.length < size) {
      const length = Math.min(DIALS_AT_ONCE, size - listeners.length)
      const dials = Array.from({ length }, () => Peer.connect(server.port, listen, protocol))
      listeners.push(...(await Promise.all(dials)))
    }
    const poster = await Peer.connect(server.port, post, posted.protocol)
    return new Audience(server, posted, told, poster, listeners, messages)
  }

  /** Binary notifications of one turn share a message. */
  message(payloadBytes: number): void {
    this.#delivered += this.told.protocol === BIN_PROTOCOL ? payloadBytes / this.told.notificationBytes : 1
  }

  chunkRead(): void {
    if (this.#tookMs !== null) this.#time(this.#tookMs)
    const free = Math.floor(this.#delivered / this.#perBatch) + this.#window - this.#posted
    if (free > 0) this.#post(free)
    if (this.#isDrained) this.#drained?.()
  }

  /** As many as the server can deliver, with `window` batches under way, at most FRAMES_MAX. */
  async flood(ms: number, window: number): Promise<Deliveries> {
    const before = { delivered: this.#delivered, cpuMicros: await this.server.cpuMicros() }
    const startMs = performance.now()
    this.#window = window
    this.#post(window)
    await sleep(ms)
    this.#window = 0
    await this.#drain()
    const seconds = (performance.now() - startMs) / 1e3
    const done = this.#delivered - before.delivered
    const cpuSeconds = ((await this.server.cpuMicros()) - before.cpuMicros) / 1e6
    return { perSecond: done / seconds, perCpuSecond: done / cpuSeconds }
  }

  /** How long messages take, milliseconds, at that many batches of one message a second and one listener. */
  async flow(ms: number, perSecond: number): Promise<number[]> {
    const tookMs: number[] = []
    this.#tookMs = tookMs
    this.#timed = this.#delivered
    const startMs = performance.now()
    let sent = 0
    for (let elapsedMs = 0; elapsedMs < ms; elapsedMs = performance.now() - startMs) {
      const due = Math.min(FRAMES_MAX, Math.floor((elapsedMs * perSecond) / 1e3) - sent)
      if (due > 0) this.#post(due)
      sent += due
      await new Promise(setImmediate)
    }
    await this.#drain()
    this.#tookMs = null
    return tookMs
  }

  end(): void {
    for (const peer of [this.poster, ...this.listeners]) peer.end()
  }

  get #isDrained(): boolean {
    return this.#delivered === this.#posted * this.#perBatch
  }

  async #drain(): Promise<void> {
    if (this.#isDrained) return
    await new Promise<void>((resolve) => {
      this.#drained = resolve
    })
    this.#drained = null
  }

  #post(count: number): void {
    const nowMs = performance.now()
    for (let i = 0; i < count; i++) this.#postedMs[this.#posted++ % TIMES_KEPT] = nowMs
    this.poster.send(this.#frames.subarray(0, count * this.posted.frame.length))
  }

  /** Messages come in the order of their posts. */
  #time(tookMs: number[]): void {
    const nowMs = performance.now()
    for (; this.#timed < this.#delivered; this.#timed++) {
      tookMs.push(nowMs - this.#postedMs[this.#timed % TIMES_KEPT])
    }
  }
}
