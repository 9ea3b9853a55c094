/** Running timers by due time: a binary heap that knows where each timer stands in it. */

const NONE_DUE = new Float64Array(0)
const NO_PLACE = new Int32Array(0)

export class DueQueue {
  /** Heap of timer numbers (row * 4 + index), and the place of each timer in it, plus one. */
  #heap: number[] = []
  #due: Float64Array = NONE_DUE
  #place: Int32Array = NO_PLACE

  /** Due time of the first timer, or Infinity. */
  get first(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#due[this.#heap[0]]
  }

  /** Due time of one timer, or Infinity when it does not run. */
  dueOf(timer: number): number {
    return timer < this.#place.length && this.#place[timer] !== 0
      ? this.#due[timer]
      : Number.POSITIVE_INFINITY
  }

  /** Timers that run, in no order. */
  timers(): readonly number[] {
    return this.#heap
  }

  arm(timer: number, due: number): void {
    if (timer >= this.#place.length) this.#grow(timer + 1)
    this.#due[timer] = due
    let at = this.#place[timer] - 1
    if (at < 0) {
      at = this.#heap.length
      this.#heap.push(timer)
    }
    this.#sink(this.#rise(at, timer), timer)
  }

  cancel(timer: number): void {
    if (timer >= this.#place.length || this.#place[timer] === 0) return
    const at = this.#place[timer] - 1
    this.#place[timer] = 0
    const last = this.#heap.pop() as number
    if (last !== timer) this.#sink(this.#rise(at, last), last)
  }

  /** Takes the first timer out. */
  pop(): number {
    const timer = this.#heap[0]
    this.cancel(timer)
    return timer
  }

  copy(): DueQueue {
    const copy = new DueQueue()
    copy.#heap = [...this.#heap]
    copy.#due = this.#due.slice()
    copy.#place = this.#place.slice()
    return copy
  }

  #rise(from: number, timer: number): number {
    let at = from
    const due = this.#due[timer]
    while (at > 0) {
      const up = (at - 1) >> 1
      const other = this.#heap[up]
      if (this.#due[other] <= due) break
      this.#set(at, other)
      at = up
    }
    this.#set(at, timer)
    return at
  }

  #sink(from: number, timer: number): void {
    let at = from
    const heap = this.#heap
    const due = this.#due[timer]
    for (;;) {
      let down = 2 * at + 1
      if (down >= heap.length) break
      if (down + 1 < heap.length && this.#due[heap[down + 1]] < this.#due[heap[down]]) down++
      if (this.#due[heap[down]] >= due) break
      this.#set(at, heap[down])
      at = down
    }
    this.#set(at, timer)
  }

  #set(at: number, timer: number): void {
    this.#heap[at] = timer
    this.#place[timer] = at + 1
  }

  #grow(count: number): void {
    const size = Math.max(4, 2 ** Math.ceil(Math.log2(count)))
    const due = new Float64Array(size)
    due.set(this.#due)
    this.#due = due
    const place = new Int32Array(size)
    place.set(this.#place)
    this.#place = place
  }
}
