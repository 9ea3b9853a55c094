/** Who wrote the SynIC registers of each vCPU last, and who switched its pages and SynIC on and off. */
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'

/** Registers of one file that the ledger knows, by place: SCONTROL, SIEFP, SIMP, SIRBP, then SINT0 to 15. */
export const LEDGER_SCONTROL = 0
export const LEDGER_SIEFP = 1
export const LEDGER_SIMP = 2
export const LEDGER_SIRBP = 3
export const LEDGER_SINTS = 4
const PLACES = 20

// Per register: when it was written last and by whom; who set its enable bit (unmasked the SINT) last, and
// when; who cleared it. Places of a column lie together, the one that is written most at the front.
const WRITE_SEQ = 0
const WRITER = PLACES
const ENABLER = 2 * PLACES
const ENABLE_SEQ = 3 * PLACES
const DISABLER = 4 * PLACES
const DISABLE_SEQ = 5 * PLACES
const ROW = 6 * PLACES

export class Ledger {
  /** Of a register that another driver took over enabled: who had enabled it, and when. */
  readonly #displaced = new Map<number, { readonly actor: number; readonly seq: number }>()
  /** A row for each file; made when the first is written. */
  #rows = new Float64Array(0)
  /** Rows lie as files do in the slab, this many times as far apart. */
  readonly #scale: number

  constructor({ nested, stride }: Pick<Machine, 'nested' | 'stride'>) {
    const least = nested ? Math.min(NESTED_FILE, stride - NESTED_FILE) : stride
    this.#scale = Math.ceil(ROW / least)
  }

  /** Notes a write that was accepted. `seq` 0 means never. */
  note(file: number, place: number, actor: number, seq: number, wasOn: boolean, isOn: boolean): void {
    const base = file * this.#scale
    if (base + ROW > this.#rows.length) this.#grow(base)
    const row = this.#rows
    const at = base + place
    row[at + WRITER] = actor
    row[at + WRITE_SEQ] = seq
    if (isOn && !wasOn) {
      row[at + ENABLER] = actor
      row[at + ENABLE_SEQ] = seq
    } else if (wasOn && !isOn) {
      row[at + DISABLER] = actor
      row[at + DISABLE_SEQ] = seq
    }
  }

  /** The same value again, by the same actor as the last time. */
  noteAgain(file: number, place: number, seq: number): void {
    this.#rows[file * this.#scale + place] = seq
  }

  writer(file: number, place: number): number {
    return this.#get(file, place, WRITER)
  }

  writeSeq(file: number, place: number): number {
    return this.#get(file, place, WRITE_SEQ)
  }

  /** Who enabled the register, or unmasked the SINT, last; 0: nobody that was named. */
  enabler(file: number, place: number): number {
    return this.#get(file, place, ENABLER)
  }

  enableSeq(file: number, place: number): number {
    return this.#get(file, place, ENABLE_SEQ)
  }

  disabler(file: number, place: number): number {
    return this.#get(file, place, DISABLER)
  }

  disableSeq(file: number, place: number): number {
    return this.#get(file, place, DISABLE_SEQ)
  }

  /** Somebody else is about to take over what is enabled there. */
  displace(file: number, place: number): void {
    const [actor, seq] = [this.enabler(file, place), this.enableSeq(file, place)]
    this.#displaced.set(file * PLACES + place, { actor, seq })
  }

  /** When the actor enabled the register, be it that another took it over since; 0: it did not. */
  enabledBy(file: number, place: number, actor: number): number {
    if (this.enabler(file, place) === actor) return this.enableSeq(file, place)
    const before = this.#displaced.get(file * PLACES + place)
    return before?.actor === actor ? before.seq : 0
  }

  /** Whoever watches knows, or presumes, that the register was enabled by this actor before; 0: by nobody. */
  presume(file: number, place: number, actor: number, seq: number): void {
    const base = file * this.#scale
    if (base + ROW > this.#rows.length) this.#grow(base)
    const at = base + place
    this.#rows[at + ENABLER] = actor
    this.#rows[at + ENABLE_SEQ] = seq
  }

  /** The file of a vCPU that was reset: nobody has written it since. */
  forget(file: number): void {
    const base = file * this.#scale
    this.#rows.fill(0, base, base + ROW)
  }

  #get(file: number, place: number, column: number): number {
    const at = file * this.#scale + place + column
    return at < this.#rows.length ? this.#rows[at] : 0
  }

  #grow(base: number): void {
    const rows = new Float64Array(Math.max(2 * this.#rows.length, base + ROW))
    rows.set(this.#rows)
    this.#rows = rows
  }
}
