/** A guest on one vCPU: sets up its SynIC, takes interrupts, reads and completes messages. */
import type { Op, Result, StreamEvent, SynicdStream } from '../client/index.js'
import { flagByte } from '../hv/event-flags.js'
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import { HEADER_BYTES, SLOT_WORDS } from '../hv/messages.js'
import { PAGE_ENABLE, SCONTROL_ENABLE, SINT_AUTO_EOI, SINT_VMBUS } from '../hv/registers.js'
import { connect, type Run, rejected, type Target } from './connect.js'
import { PAYLOAD_BYTES, seqOf } from './payload.js'
import { LoadError } from './plan.js'

const VECTOR = 0xf3
/** Where the guests' pages begin, two for each. */
const PAGES_GPA = 0x10_0000
/** Messages taken in one batch, at most. */
const TURN_MAX = 32
/** Hex digits of a slot: its header, and of that the message type. */
const HEADER_DIGITS = 2 * HEADER_BYTES
const NO_TYPE = '00000000'

export class Guest {
  readonly stream: SynicdStream
  readonly #run: Run
  readonly #target: Target
  readonly #vcpu: number
  readonly #messagePage: number
  readonly #flagPage: number
  /** Number of the op that raised the newest interrupt. */
  #newestSeq = 0
  /** Until all is taken that the newest interrupt was for; undefined: nothing is. */
  #serving: Promise<void> | undefined

  constructor(run: Run, target: Target, vcpu: number) {
    this.#run = run
    this.#target = target
    this.#vcpu = vcpu
    this.#messagePage = PAGES_GPA + 2 * vcpu * GPA_PAGE_BYTES
    this.#flagPage = this.#messagePage + GPA_PAGE_BYTES
    this.stream = connect(run, target, {
      vcpus: [vcpu],
      kinds: ['message', 'interrupt'],
      actor: 'guest',
      onEvent: (event) => this.#take(event),
    })
  }

  /** @throws what the stream was ended by, or a LoadError where the machine does not do as told */
  async setUp(): Promise<void> {
    const vcpu = this.#vcpu
    const write = (msr: string, value: number): Op => ({ op: 'msr.write', vcpu, msr, value })
    const ops: Op[] = [
      write('SIMP', this.#messagePage | PAGE_ENABLE),
      write('SIEFP', this.#flagPage | PAGE_ENABLE),
      write(`SINT${SINT_VMBUS}`, SINT_AUTO_EOI | VECTOR),
      write('SCONTROL', SCONTROL_ENABLE),
    ]
    if (this.#run.plan.profile === 'kvm') ops.unshift({ op: 'cap.enable', vcpu, cap: 'synic2', by: 'host' })
    const { results } = await this.stream.ops(ops)
    const wrong = results.findIndex(({ ok }) => !ok)
    if (wrong >= 0)
      throw new LoadError(`set-up: ${JSON.stringify(ops[wrong])}: ${JSON.stringify(results[wrong])}`)
  }

  #take(event: StreamEvent): void {
    if (event.kind === 'message') {
      const sentAtMs = this.#target.ledger.sentAtMs(seqOf(event.hex))
      if (sentAtMs !== undefined) this.#run.figures.delivery.record(performance.now() - sentAtMs)
      return
    }
    if (event.kind === 'gap') this.#run.troubles.gap(event)
    else if (event.kind === 'restarted') this.#run.troubles.restarted()
    else this.#newestSeq = event.seq
    this.#serving ??= this.#serve()
  }

  async #serve(): Promise<void> {
    try {
      while (await this.#turn());
    } catch (reason) {
      rejected(this.#run, reason)
    } finally {
      this.#serving = undefined
    }
  }

  /**
   * Messages that the server has taken for this guest and that it will not find any more. It asks once more
   * to know: the answer comes behind all that there was to tell, so who waits for it cannot say yet.
   */
  async missed(): Promise<number> {
    const { ledger } = this.#target
    const due = ledger.acceptedFor(this.#vcpu)
    if (due.length === 0) return 0
    try {
      await this.stream.ops([])
    } catch (reason) {
      rejected(this.#run, reason)
      return 0
    }
    await this.#serving
    return due.filter((seq) => ledger.sentAtMs(seq) !== undefined).length
  }

  /** Takes what is there. True: there may be more. */
  async #turn(): Promise<boolean> {
    const ops = this.#opsOfTurn()
    const { seq, results } = await this.stream.ops(ops)
    this.#run.figures.counts.ops += results.length
    let vector = -1
    ops.forEach((op, i) => {
      const result = results[i]
      if (!result.ok) this.#run.troubles.fail(op, result)
      else if (op.op === 'apic.ack') vector = result.vector ?? -1
      else if (op.op === 'mem.read') this.#read(result)
    })
    return vector >= 0 || this.#newestSeq >= seq + ops.length
  }

  /**
   * An interrupt and its message each, one more than there can be: to find that nothing is left. The SINT is
   * auto-EOI, for an EOI without an interrupt would be a guest's mistake.
   */
  #opsOfTurn(): Op[] {
    const vcpu = this.#vcpu
    const sint = SINT_VMBUS
    const slot = this.#messagePage + sint * SLOT_WORDS * 4
    const count = Math.min(TURN_MAX, this.#target.ledger.inFlightTo(vcpu) + 1)
    const flags = this.#flagPage + flagByte(sint, 0)
    const ops: Op[] = [{ op: 'mem.xchg', gpa: flags, len: 8, value: 0 }]
    for (let i = 0; i < count; i++) {
      ops.push(
        { op: 'apic.ack', vcpu },
        { op: 'mem.read', gpa: slot, len: HEADER_BYTES + PAYLOAD_BYTES },
        { op: 'message.complete', vcpu, sint },
      )
    }
    return ops
  }

  #read({ hex = '' }: Result): void {
    if (hex.startsWith(NO_TYPE)) return
    if (this.#target.ledger.see(seqOf(hex.slice(HEADER_DIGITS)))) this.#run.figures.counts.messages++
    else this.#run.troubles.stray(this.#vcpu, hex)
  }
}
