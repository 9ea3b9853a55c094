/** What a stream tells: notifications in order, nothing twice, and every hole said. Bounded. */
import type { Notification } from '../api/server-frames.js'

/** Notifications `from` to `to` are gone: the ring had lost them, or a reader was too slow. */
export interface Gap {
  readonly kind: 'gap'
  readonly from: number
  readonly to: number
}

/**
 * The partition is another one under the same id: it was deleted and made anew, or its server was. What the
 * former told since the event before this one is gone, however much it was. From here on `n` counts from 1
 * again, and what the new one has told already follows, or a gap in its place.
 */
export interface Restarted {
  readonly kind: 'restarted'
  /** When the new one was made. */
  readonly created_at: string
}

export type StreamEvent = Notification | Gap | Restarted

/** Puts what comes from one or more connections into one sequence. */
export class EventOrder {
  /** The newest notification seen or told to be gone; undefined until the first hello without `since`. */
  lastN: number | undefined
  /** When the partition was made that it counts in; undefined while not known. */
  createdAt: string | undefined
  /** What must come next if nothing is filtered; 0 = not known. */
  #next = 0
  #whole = false

  constructor(
    since: number | undefined,
    createdAt: string | undefined,
    private readonly tell: (event: StreamEvent) => void,
  ) {
    this.lastN = since
    // Without a number there is nothing to compare.
    if (since !== undefined) this.createdAt = createdAt
  }

  /** @param whole nothing is filtered, so a hole in the numbers is a loss */
  filtered(whole: boolean): void {
    if (whole !== this.#whole) this.#next = 0
    this.#whole = whole
  }

  hello(n: number, createdAt: string, whole: boolean): void {
    const last = this.lastN ?? n
    const known = this.createdAt
    this.createdAt = createdAt
    this.#whole = whole
    if (known !== undefined && !isSameTime(known, createdAt)) {
      // The server was told whose numbers we know, and begins with the first of its own.
      this.#goesOnBehind(0)
      this.tell({ kind: 'restarted', created_at: createdAt })
      return
    }
    this.#goesOnBehind(Math.min(last, n))
    if (known !== undefined || n >= last) return
    // Fewer than the caller has seen: these are numbers of another, which takes `since` for one to come.
    this.tell({ kind: 'restarted', created_at: createdAt })
    if (n > 0) this.tell({ kind: 'gap', from: 1, to: n })
  }

  #goesOnBehind(n: number): void {
    this.lastN = n
    this.#next = n + 1
  }

  gap(from: number, to: number): void {
    const last = this.lastN ?? 0
    if (to <= last) return
    this.lastN = to
    this.#next = to + 1
    this.tell({ kind: 'gap', from: Math.max(from, last + 1), to })
  }

  notification(notification: Notification): void {
    const { n } = notification
    if (n <= (this.lastN ?? 0)) return
    const next = this.#next
    this.lastN = n
    this.#next = n + 1
    if (this.#whole && next !== 0 && n > next) this.tell({ kind: 'gap', from: next, to: n - 1 })
    this.tell(notification)
  }
}

const isSameTime = (a: string, b: string) => Date.parse(a) === Date.parse(b)

interface Reader {
  /** The loop that it belongs to. */
  readonly loop: object
  readonly resolve: (result: IteratorResult<StreamEvent, undefined>) => void
  readonly reject: (reason: unknown) => void
}

/** Events that wait to be read. When it is full the newest are left out, and told as a gap in their place. */
export class EventQueue {
  #items: StreamEvent[] = []
  #head = 0
  /** Told in place of what was left out: a gap at most on each side of the newest restart. */
  #lost: (Gap | Restarted)[] = []
  #readers: Reader[] = []
  #over = false
  #error: unknown

  constructor(private readonly max: number) {}

  push(event: StreamEvent): void {
    const reader = this.#readers.shift()
    if (reader !== undefined) reader.resolve({ done: false, value: event })
    else if (this.#items.length - this.#head >= this.max) this.#lose(event)
    else {
      if (this.#lost.length > 0) this.#items.push(...this.#lost.splice(0))
      this.#items.push(event)
    }
  }

  /** What was pushed before is still read. An error is thrown to one reader, then it is simply over. */
  end(error: unknown): void {
    this.#over = true
    this.#error = error
    for (const reader of this.#readers.splice(0)) this.#finish(reader)
  }

  /** The next event for a loop. */
  next(loop: object): Promise<IteratorResult<StreamEvent, undefined>> {
    const value = this.#take()
    if (value !== undefined) return Promise.resolve({ done: false, value })
    return new Promise((resolve, reject) => {
      const reader = { loop, resolve, reject }
      if (this.#over) this.#finish(reader)
      else this.#readers.push(reader)
    })
  }

  /** A loop was left: what it still waits for is for the next one. */
  leave(loop: object): void {
    const left = this.#readers.filter((reader) => reader.loop === loop)
    this.#readers = this.#readers.filter((reader) => reader.loop !== loop)
    for (const { resolve } of left) resolve({ done: true, value: undefined })
  }

  #take(): StreamEvent | undefined {
    if (this.#head === this.#items.length) return this.#lost.shift()
    const event = this.#items[this.#head++]
    // Forgotten in blocks: a shift for each would move the whole list.
    if (this.#head === this.#items.length || this.#head >= COMPACT_AT) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return event
  }

  #lose(event: StreamEvent): void {
    const lost = this.#lost
    if (event.kind === 'restarted') {
      // A partition that came and went meanwhile was lost as a whole.
      const before = lost.findIndex(({ kind }) => kind === 'restarted')
      if (before >= 0) lost.length = before
      lost.push(event)
      return
    }
    const { from, to } = event.kind === 'gap' ? event : { from: event.n, to: event.n }
    const last = lost.at(-1)
    if (last?.kind === 'gap') lost[lost.length - 1] = { kind: 'gap', from: last.from, to }
    else lost.push({ kind: 'gap', from, to })
  }

  #finish({ resolve, reject }: Pick<Reader, 'resolve' | 'reject'>): void {
    const error = this.#error
    this.#error = undefined
    if (error === undefined) resolve({ done: true, value: undefined })
    else reject(error)
  }
}

const COMPACT_AT = 4096
