/** The messages of one partition between harness and guest: who has room, and what became of each. */

/** A message on its way. */
export interface Letter {
  readonly seq: number
  readonly vcpu: number
}

interface Sent extends Letter {
  readonly atMs: number
  /** The server said that it is in the slot, or in the queue behind it. */
  accepted: boolean
}

export class Ledger {
  /** Accepted by the server in all. */
  posted = 0
  /** Read by their guests in all. */
  seen = 0
  readonly #sent = new Map<number, Sent>()
  readonly #inFlight: number[]
  #lastSeq = 0
  #lastVcpu = -1
  #waiting: (() => void)[] = []

  /** @param room messages that may be on their way to one guest */
  constructor(
    guests: number,
    private readonly room: number,
  ) {
    this.#inFlight = new Array<number>(guests).fill(0)
  }

  get hasRoom(): boolean {
    return this.#sent.size < this.#inFlight.length * this.room
  }

  /** A letter to the next guest with room; undefined if none has any. */
  send(nowMs: number): Letter | undefined {
    if (!this.hasRoom) return undefined
    do this.#lastVcpu = (this.#lastVcpu + 1) % this.#inFlight.length
    while (this.#inFlight[this.#lastVcpu] >= this.room)
    const sent = { seq: ++this.#lastSeq, vcpu: this.#lastVcpu, atMs: nowMs, accepted: false }
    this.#inFlight[sent.vcpu]++
    this.#sent.set(sent.seq, sent)
    return sent
  }

  /** The server took it. The guest may have seen it before this was known. */
  accept({ seq }: Letter): void {
    this.posted++
    const sent = this.#sent.get(seq)
    if (sent !== undefined) sent.accepted = true
  }

  /** The server did not take it. */
  refuse({ seq }: Letter): void {
    this.#close(seq)
  }

  /** When it was sent; undefined if it is on its way no more. */
  sentAtMs(seq: number): number | undefined {
    return this.#sent.get(seq)?.atMs
  }

  /** The guest read it. False: it is on its way no more, or never was. */
  see(seq: number): boolean {
    if (!this.#close(seq)) return false
    this.seen++
    return true
  }

  inFlightTo(vcpu: number): number {
    return this.#inFlight[vcpu]
  }

  get inFlight(): number {
    return this.#sent.size
  }

  /** Of what is on its way to a guest, what the server said it took: the numbers. */
  acceptedFor(vcpu: number): number[] {
    const accepted = [...this.#sent.values()].filter((sent) => sent.accepted && sent.vcpu === vcpu)
    return accepted.map(({ seq }) => seq)
  }

  /** Resolved when the next message has arrived or was refused, or by `wake`. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #close(seq: number): boolean {
    const sent = this.#sent.get(seq)
    if (sent === undefined) return false
    this.#sent.delete(seq)
    this.#inFlight[sent.vcpu]--
    this.wake()
    return true
  }
}
