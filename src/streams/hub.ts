/** All clients of one partition: at the end of a turn each is told what is new, in frames made once. */
import { numberOf } from '../api/notification.js'
import type { Run, StreamPartition } from './protocol.js'
import { type Block, deliveriesOf, type StreamSession, wantedOf } from './session.js'
import type { Turn } from './turn.js'
import { FrameBuffer } from './websocket-frames.js'

export class PartitionHub {
  readonly #sessions = new Set<StreamSession>()
  readonly #frames = new FrameBuffer()
  #isAwaited = false
  /** Frames of this turn, by the number of their first notification and by who can have them. */
  readonly #made = new Map<number, Map<string, Block>>()

  constructor(
    private readonly partition: StreamPartition,
    private readonly turn: Turn,
  ) {}

  get size(): number {
    return this.#sessions.size
  }

  add(session: StreamSession): void {
    this.#sessions.add(session)
  }

  delete(session: StreamSession): void {
    this.#sessions.delete(session)
  }

  /** There are notifications that nobody was told yet. */
  readonly news = (): void => {
    if (this.#isAwaited) return
    this.#isAwaited = true
    this.turn.distribute(this.#distribute)
  }

  readonly #distribute = (): void => {
    this.#isAwaited = false
    for (const session of this.#sessions) session.catchUpShared(this.#blockOf)
    this.#made.clear()
    this.partition.settle()
  }

  readonly #blockOf = (session: StreamSession, run: Run): Block => {
    const first = numberOf(run.words, run.starts[run.begin])
    let made = this.#made.get(first)
    if (made === undefined) {
      made = new Map()
      this.#made.set(first, made)
    }
    const key = session.likeness
    let block = made.get(key)
    if (block === undefined) {
      const wanted = wantedOf(run, session.filter)
      session.protocol.share(run, wanted, this.#frames)
      block = { frames: this.#frames.take(), deliveries: deliveriesOf(run, wanted) }
      made.set(key, block)
    }
    return block
  }
}
