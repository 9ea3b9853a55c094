/** What a stream tells: notifications in order, nothing twice, and every hole said. Bounded. */
import type { Notification } from '../api/server-frames.js'

/** Notifications `from` to `to` are gone: the ring had lost them, or a reader was too slow. */
export interface Gap {
  readonly kind: 'gap'
  readonly from: number
  readonly to: number
  /** The partition was made anew and counts from 1 again; all it told before is gone too. */
  readonly restarted?: true
}

export type StreamEvent = Notification | Gap

/** Puts what comes from one or more connections into one sequence. */
export class EventOrder {
  /** The newest notification seen or told to be gone; undefined until the first hello without `since`. */
  lastN: number | undefined
  /** What must come next if nothing is filtered; 0 = not known. */
  #next = 0
  #whole = false

  constructor(
    since: number | undefined,
    private readonly tell: (event: StreamEvent) => void,
  ) {
    this.lastN = since
  }

  /** @param whole nothing is filtered, so a hole in the numbers is a loss */
  filtered(whole: boolean): void {
    if (whole !== this.#whole) this.#next = 0
    this.#whole = whole
  }

  hello(n: number, whole: boolean): void {
    this.#whole = whole
    const last = this.lastN ?? n
    this.lastN = Math.min(last, n)
    this.#next = this.lastN + 1
    // Fewer than were seen already: these are the numbers of another life.
    if (n < last) this.tell({ kind: 'gap', from: 1, to: n, restarted: true })
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

interface Reader {
  readonly resolve: (result: IteratorResult<StreamEvent, undefined>) => void
  readonly reject: (reason: unknown) => void
}

/** Events that wait to be read. When it is full the newest are left out, and told as a gap in their place. */
export class EventQueue {
  #items: StreamEvent[] = []
  #head = 0
  #lost: Gap | undefined
  #readers: Reader[] = []
  #over = false
  #error: unknown

  constructor(private readonly max: number) {}

  push(event: StreamEvent): void {
    const reader = this.#readers.shift()
    if (reader !== undefined) reader.resolve({ done: false, value: event })
    else if (this.#items.length - this.#head >= this.max) this.#lose(event)
    else {
      if (this.#lost !== undefined) this.#items.push(this.#lost)
      this.#lost = undefined
      this.#items.push(event)
    }
  }

  /** What was pushed before is still read. An error is thrown to one reader, then it is simply over. */
  end(error: unknown): void {
    this.#over = true
    this.#error = error
    for (const reader of this.#readers.splice(0)) this.#finish(reader)
  }

  next(): Promise<IteratorResult<StreamEvent, undefined>> {
    const value = this.#take()
    if (value !== undefined) return Promise.resolve({ done: false, value })
    return new Promise((resolve, reject) => {
      if (this.#over) this.#finish({ resolve, reject })
      else this.#readers.push({ resolve, reject })
    })
  }

  #take(): StreamEvent | undefined {
    if (this.#head === this.#items.length) {
      const lost = this.#lost
      this.#lost = undefined
      return lost
    }
    const event = this.#items[this.#head++]
    // Forgotten in blocks: a shift for each would move the whole list.
    if (this.#head === this.#items.length || this.#head >= COMPACT_AT) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return event
  }

  #lose(event: StreamEvent): void {
    const { from, to, restarted } = event.kind === 'gap' ? event : { from: event.n, to: event.n }
    const first = this.#lost?.from ?? from
    const anew = restarted ?? this.#lost?.restarted
    this.#lost = { kind: 'gap', from: Math.min(first, from), to, ...(anew && { restarted: anew }) }
  }

  #finish({ resolve, reject }: Reader): void {
    const error = this.#error
    this.#error = undefined
    if (error === undefined) resolve({ done: true, value: undefined })
    else reject(error)
  }
}

const COMPACT_AT = 4096
