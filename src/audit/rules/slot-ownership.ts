/**
 * I8, the type says who may write a slot: the host fills what is empty and touches nothing but the pending
 * flag of what is full, the guest empties what is full and writes nothing else. And it empties only the
 * message it has read: between a read and a clear another reader may have made room for the next one, of
 * whatever type (Linux cd95aad55793). Reads are known where they are ops; a guest that shows none is not
 * judged.
 */
import { gpnOf } from '../../hv/bits.js'
import { FLAGS_BYTE } from '../../hv/messages.js'
import { SINT_COUNT } from '../../hv/registers.js'
import * as e from '../../synic/effects.js'
import * as o from '../../synic/op.js'
import { MESSAGE_PAGE } from '../../synic/pages.js'
import { fileIn, hex, sintIn } from '../effect-words.js'
import { LEDGER_SINTS } from '../ledger.js'
import { msrAt, vcpuOf } from '../places.js'
import { type Readings, readingsOf } from '../readings.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { flagsIn, messageFrameOf, typeIn } from '../slot-view.js'
import { fileOfOp } from '../slots.js'

/** Slots that one memory op is looked at for: a page of them, on some files. */
const TOUCHED_MAX = 64
const STORES = [o.OP_MEM_WRITE, o.OP_MEM_CAS, o.OP_MEM_XCHG]

class SlotOwnership implements Watcher {
  readonly #readings: Readings
  /** Slots whose type word the op touches, as file * 16 + SINT, and their types before it. */
  readonly #touched = new Int32Array(TOUCHED_MAX)
  readonly #types = new Int32Array(TOUCHED_MAX)
  #count = 0
  /** The slot a host post goes to. */
  #type = 0
  #size = 0

  constructor(private readonly desk: Desk) {
    this.#readings = readingsOf(desk)
  }

  before(): void {
    const { op, m } = this.desk
    if (op.code === o.OP_MESSAGE_POST) {
      const f = fileOfOp(m, op)
      const sint = op.words[op.at + o.OP_ARGS]
      const frame = f < 0 || sint < 0 || sint >= SINT_COUNT ? 0 : messageFrameOf(m, f)
      this.#type = typeIn(m, frame, sint)
      if (this.#type !== 0) this.#size = flagsIn(m, frame, sint)
      return
    }
    this.#count = 0
    if (m.synicPages.size > 0 && STORES.includes(op.code) && !op.byHost) this.#lookAt(this.#bytes())
  }

  after(): void {
    const { op, m } = this.desk
    switch (op.code) {
      case o.OP_MESSAGE_POST:
        if (this.#type !== 0) this.#judgePost()
        break
      case o.OP_MEM_READ:
        if (m.effects.ok && !op.byHost && m.synicPages.size > 0) this.#noteRead()
        return this.desk.wake(this.#readings.size > 0)
      case o.OP_VCPU_RESET:
      case o.OP_PARTITION_RESET:
      case o.OP_KERNEL_BOOT:
        this.#readings.forget()
        return this.desk.wake(this.#readings.size > 0)
    }
    if (this.#count > 0) this.#judgeStores()
    this.#readings.follow()
    for (const { slot, readSeq, staleSeq } of this.#readings.blind)
      this.#tell(slot, staleSeq, `clears a message it has not read: it read the slot at op ${readSeq}`)
    this.desk.wake(this.#readings.size > 0)
  }

  #bytes(): number {
    const { op } = this.desk
    return op.words[op.at + o.OP_ARGS + 2]
  }

  /** Collects the slots whose type lies in the op's range. */
  #lookAt(bytes: number): void {
    const { op, m } = this.desk
    const first = op.words[op.at + o.OP_ARGS] & 0xfff
    let gpn = gpnOf(op.words[op.at + o.OP_ARGS], op.words[op.at + o.OP_ARGS + 1])
    this.#count = 0
    for (let begin = -first; begin < bytes; begin += 0x1000, gpn++) {
      for (const key of m.synicPages.get(gpn) ?? []) {
        if ((key & 1) !== MESSAGE_PAGE) continue
        for (let sint = 0; sint < SINT_COUNT && this.#count < TOUCHED_MAX; sint++) {
          const at = begin + sint * 256
          if (at + 4 <= 0 || at >= bytes) continue
          this.#touched[this.#count] = m.queueKey(key >> 1, sint)
          this.#types[this.#count++] = this.#typeOf(m.queueKey(key >> 1, sint))
        }
      }
    }
  }

  #typeOf(slot: number): number {
    const { m } = this.desk
    return typeIn(m, messageFrameOf(m, slot >> 4), slot & 15)
  }

  #noteRead(): void {
    this.#lookAt(this.#bytes())
    for (let i = 0; i < this.#count; i++) this.#readings.note(this.#touched[i])
    this.#count = 0
  }

  /** The guest stored into slots: a type may only become 0. */
  #judgeStores(): void {
    const count = this.#count
    this.#count = 0
    if (!this.desk.m.effects.ok) return
    for (let i = 0; i < count; i++) {
      const type = this.#typeOf(this.#touched[i])
      if (type === 0 || type === this.#types[i]) continue
      // The slot was emptied, and the host has filled it again at once.
      if (this.#isFilled(this.#touched[i] >> 4, this.#touched[i] & 15)) continue
      const where =
        this.#types[i] === 0
          ? 'an empty slot that only the host may fill'
          : `a slot that holds type ${hex(this.#types[i])}`
      this.#tell(this.#touched[i], 0, `writes type ${hex(type)} into ${where}`)
    }
  }

  /** A message into a full slot: only its pending flag may change. */
  #judgePost(): void {
    const { op, m } = this.desk
    const f = fileOfOp(m, op)
    const sint = op.words[op.at + o.OP_ARGS]
    const frame = messageFrameOf(m, f)
    const isSame =
      typeIn(m, frame, sint) === this.#type && ((flagsIn(m, frame, sint) ^ this.#size) & ~FLAGS_BYTE) === 0
    if (isSame && !this.#isFilled(f, sint)) return
    this.desk.report({
      severity: 'error',
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, LEDGER_SINTS + sint),
      text: `the host writes over the message of type ${hex(this.#type)} in the slot of SINT${sint}`,
    })
  }

  #isFilled(f: number, sint: number): boolean {
    const { m } = this.desk
    const { words, length } = m.effects
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      if (words[at] !== e.EFFECT_MESSAGE || sintIn(words[at + 2]) !== sint) continue
      if (fileIn(m, words[at + 1], words[at + 2]) === f) return true
    }
    return false
  }

  #tell(slot: number, otherSeq: number, what: string): void {
    const { op, m } = this.desk
    const f = slot >> 4
    const who = this.desk.nameOf(op.actor) || 'the guest'
    this.desk.report({
      // Of a guest that names nobody it may be the only driver there is, and mean it.
      severity: op.actor === 0 ? 'note' : 'error',
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, LEDGER_SINTS + (slot & 15)),
      otherSeq,
      text: `${who} ${what} (SINT${slot & 15} of vCPU ${vcpuOf(m, f)})`,
    })
  }
}

export const slotOwnership: Rule = {
  invariant: 'I8',
  rule: 'slot_ownership',
  holds: 'The host fills empty slots, the guest empties the messages it has read, and neither does more.',
  ops: [o.OP_MEM_READ, ...STORES, o.OP_VCPU_RESET, o.OP_PARTITION_RESET, o.OP_KERNEL_BOOT],
  registers: [],
  more: [
    { effects: [e.EFFECT_MESSAGE, e.EFFECT_FREED], whileAwake: true },
    // What becomes of a full slot is the machine's doing.
    { ops: [o.OP_MESSAGE_POST], deep: true },
  ],
  watch: (desk) => new SlotOwnership(desk),
}
