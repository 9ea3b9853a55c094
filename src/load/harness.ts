/** A harness: posts messages, signals event flags and writes MSRs by the mix, in batches within a window. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Op, type Result, SynicdProblem, type SynicdStream } from '../client/index.js'
import { SINT_MASKED, SINT_VMBUS } from '../hv/registers.js'
import { connect, type Run, rejected, type Target } from './connect.js'
import type { Letter } from './ledger.js'
import { type MixKind, roundOf } from './mix.js'
import type { Pacer } from './pacer.js'
import { payloadOf } from './payload.js'

const MESSAGE_TYPE = 1
/** Flags signalled: those of one 8-byte word, which a guest clears at one go. */
const FLAGS = 64
/** A SINT no guest uses. */
const SPARE_SINT = 5
const VECTORS = 0x80
const FIRST_VECTOR = 0x40
/** Nobody waits longer at a time, so that the end is noticed. */
const WAIT_MAX_MS = 50

interface Batch {
  readonly ops: Op[]
  /** Of each op; undefined where it is no message. */
  readonly letters: (Letter | undefined)[]
}

export class Harness {
  readonly stream: SynicdStream
  readonly #run: Run
  readonly #target: Target
  readonly #guests: number
  readonly #pacer: Pacer | undefined
  readonly #round: readonly MixKind[]
  /** Ops made so far. */
  #made = 0
  #isPaced = false

  /** @param guests vCPUs of the partition */
  constructor(run: Run, target: Target, guests: number, pacer: Pacer | undefined) {
    this.#run = run
    this.#target = target
    this.#guests = guests
    this.#pacer = pacer
    this.#round = roundOf(run.plan.mix)
    this.stream = connect(run, target, { kinds: [], actor: 'harness' })
  }

  /** Until the run is halted and every batch is answered. */
  async work(): Promise<void> {
    const { window } = this.#run.plan
    await Promise.all(Array.from({ length: window }, () => this.#worker()))
  }

  /** One batch after the other. */
  async #worker(): Promise<void> {
    while (!this.#run.halted.aborted) {
      const batch = this.#next()
      if (batch.ops.length > 0) await this.#send(batch)
      else if (this.#isPaced) await sleep(Math.min(WAIT_MAX_MS, this.#pacer?.waitMs ?? 0))
      else await this.#target.ledger.changed()
    }
  }

  /** What the mix has next, up to a message that has to wait: the queue behind a slot stays short. */
  #next(): Batch {
    const batch: Batch = { ops: [], letters: [] }
    const nowMs = performance.now()
    while (batch.ops.length < this.#run.plan.batch) {
      const kind = this.#round[this.#made % this.#round.length]
      const letter = kind === 'messages' ? this.#letter(nowMs) : undefined
      if (kind === 'messages' && letter === undefined) break
      batch.ops.push(letter === undefined ? this.#other(kind) : messageOp(letter))
      batch.letters.push(letter)
      this.#made++
    }
    return batch
  }

  #letter(nowMs: number): Letter | undefined {
    const { ledger } = this.#target
    this.#isPaced = false
    if (!ledger.hasRoom) return undefined
    this.#isPaced = this.#pacer?.take() === false
    return this.#isPaced ? undefined : ledger.send(nowMs)
  }

  #other(kind: MixKind): Op {
    const vcpu = this.#made % this.#guests
    if (kind === 'events') return { op: 'event.signal', vcpu, sint: SINT_VMBUS, flag: this.#made % FLAGS }
    const value = SINT_MASKED | (FIRST_VECTOR + (this.#made % VECTORS))
    return { op: 'msr.write', vcpu, msr: `SINT${SPARE_SINT}`, value }
  }

  async #send(batch: Batch): Promise<void> {
    const { figures } = this.#run
    const sentAtMs = performance.now()
    try {
      const { results } = await this.stream.ops(batch.ops)
      figures.batch.record(performance.now() - sentAtMs)
      figures.counts.batches++
      figures.counts.ops += results.length
      batch.ops.forEach((op, i) => {
        this.#settle(op, batch.letters[i], results[i])
      })
    } catch (reason) {
      // Refused is not applied; otherwise nobody knows.
      if (reason instanceof SynicdProblem) for (const letter of batch.letters) this.#takeBack(letter)
      rejected(this.#run, reason)
    }
  }

  #settle(op: Op, letter: Letter | undefined, result: Result): void {
    const { delivery } = result
    const { counts } = this.#run.figures
    if (op.op === 'event.signal') counts.events++
    else if (op.op === 'msr.write') counts.registers++
    if (letter !== undefined && (delivery === 'delivered' || delivery === 'queued')) {
      this.#target.ledger.accept(letter)
      return
    }
    this.#takeBack(letter)
    if (delivery === 'busy') this.#run.troubles.busy++
    else if (letter !== undefined || !result.ok) this.#run.troubles.fail(op, result)
  }

  #takeBack(letter: Letter | undefined): void {
    if (letter !== undefined) this.#target.ledger.refuse(letter)
  }
}

function messageOp({ seq, vcpu }: Letter): Op {
  return { op: 'message.post', vcpu, sint: SINT_VMBUS, type: MESSAGE_TYPE, hex: payloadOf(seq) }
}
