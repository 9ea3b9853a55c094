/** All clients of one partition: at the end of a turn each is told what is new, in frames made once. */
import { numberOf } from '../api/notification.js'
import type { Run, StreamPartition } from './protocol.js'
import { type Block, deliveriesOf, type StreamSession, wantedOf } from './session.js'
import type { Turn } from './turn.js'
import { FrameBuffer } from './websocket-frames.js'

export class PartitionHub {
  readonly #sessions = new Set<StreamSession>()
  readonly #frames = new FrameBuffer()

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
  readonly news = (): void => this.turn.distribute(this.#distribute)

  readonly #distribute = (): void => {
    const made = new Map<string, Block>()
    const blocks = (session: StreamSession, run: Run): Block => {
      const first = numberOf(run.words, run.starts[run.begin])
      const key = `${session.protocol.name} ${first} ${session.filter.key}`
      let block = made.get(key)
      if (block === undefined) {
        const wanted = wantedOf(run, session.filter)
        session.protocol.share(run, wanted, this.#frames)
        block = { frames: this.#frames.take(), deliveries: deliveriesOf(run, wanted) }
        made.set(key, block)
      }
      return block
    }
    for (const session of this.#sessions) session.catchUpShared(blocks)
    this.partition.settle()
  }
}
