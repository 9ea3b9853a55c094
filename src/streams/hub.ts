/** All clients of one partition: at the end of a turn each is told what is new, in frames made once. */
import { numberOf } from '../api/notification.js'
import { Shared } from './arena.js'
import type { Run, StreamPartition } from './protocol.js'
import { type Block, deliveriesOf, type StreamSession, wantedOf } from './session.js'
import type { Turn } from './turn.js'
import { FrameBuffer } from './websocket-frames.js'

export class PartitionHub {
  /** With each, whom to tell if it fails. */
  readonly #sessions = new Map<StreamSession, (error: unknown) => void>()
  readonly #frames = new FrameBuffer()
  #isAwaited = false
  /** Frames of this turn, by who can have them. Made anew: a map that is cleared keeps its past alive. */
  #made: Map<string, Block[]> | null = null
  /** Those made or found last: most clients want the same. */
  #last: Block | null = null

  constructor(
    private readonly partition: StreamPartition,
    private readonly turn: Turn,
  ) {}

  get size(): number {
    return this.#sessions.size
  }

  /** @param fail ends this session's stream: what it met is no fault of the others */
  add(session: StreamSession, fail: (error: unknown) => void): void {
    this.#sessions.set(session, fail)
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
    // Frames that one has been told already are for the others, too.
    this.turn.arena.hold()
    for (const session of this.#sessions.keys()) this.#tell(session)
    this.turn.arena.release()
    this.#made = null
    this.#last = null
    this.partition.settle()
  }

  #tell(session: StreamSession): void {
    try {
      session.catchUpShared(this.#blockOf)
    } catch (error) {
      this.#sessions.get(session)?.(error)
    }
  }

  readonly #blockOf = (session: StreamSession, run: Run): Block => {
    const first = numberOf(run.words, run.starts[run.begin])
    const { likeness } = session
    const last = this.#last
    if (last !== null && last.first === first && last.likeness === likeness) return last
    const block = this.#made?.get(likeness)?.find((made) => made.first === first)
    this.#last = block ?? this.#make(session, run, first)
    return this.#last
  }

  #make({ likeness, filter, protocol }: StreamSession, run: Run, first: number): Block {
    const wanted = wantedOf(run, filter)
    protocol.share(run, wanted, this.#frames)
    const frames = new Shared(this.#frames.take(this.turn.arena))
    const block = { first, likeness, frames, deliveries: deliveriesOf(run, wanted) }
    // A single client's frames need not be found again.
    if (this.#sessions.size === 1) return block
    this.#made ??= new Map()
    const alike = this.#made.get(likeness)
    if (alike === undefined) this.#made.set(likeness, [block])
    else alike.push(block)
    return block
  }
}
