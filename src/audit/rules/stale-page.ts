/**
 * I4, nothing armed points at freed memory: at a handover no SIMP, SIEFP, SIRBP, reference TSC, hypercall or
 * VP assist page is enabled, and none is while its page is freed or handed to somebody else (Linux VMBus
 * freed its pages on a failed connect, MSHV on L1VH left SIRBP enabled over kexec; hv_cpu_die and
 * hyperv_cleanup disable the others). A base without the enable bit is nothing: the platform provides some,
 * and what the host enabled before the guest had a name, and no guest has written since, is not the guest's
 * to disable (UEFI firmware: release only what was claimed).
 */
import { gpnOf } from '../../hv/bits.js'
import { HV_X64_MSR_VP_ASSIST_PAGE } from '../../hv/msrs.js'
import { EFFECT_LIFECYCLE } from '../../synic/effects.js'
import { GUEST_OS_ID, type Machine } from '../../synic/machine.js'
import { OP_ARGS, OP_KERNEL_BOOT, OP_PAGE_CLAIM, OP_PAGE_FREE } from '../../synic/op.js'
import { Handover, NEXT_KERNEL, NO_HANDOVER } from '../handover.js'
import { LEDGER_SIRBP } from '../ledger.js'
import { isOverlay, type Overlay, overlayAt, overlays } from '../overlays.js'
import { isOnAt, msrAt, nameAt, nameOfMsr, PAGE_PLACES, PLACE_COUNT, vcpuOf, wordAt } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** Who wrote the register of a page beside the SynIC's last, and when. */
interface Written {
  readonly actor: number
  readonly seq: number
  readonly isProvided: boolean
}

/** A key that no register of a file has. */
const keyOf = ({ msr, vcpu }: Overlay) => -1 - (msr & 0xff) - (vcpu + 1) * 0x100

class StalePage implements Watcher {
  readonly #handover: Handover
  #bootSeq = 0
  /** Page registers that the platform enabled, and those that a guest left on, by file and place. */
  readonly #provided = new Set<number>()
  readonly #ofGuests = new Set<number>()
  readonly #written = new Map<number, Written>()

  constructor(private readonly desk: Desk) {
    this.#handover = new Handover(desk)
  }

  before(): void {
    this.#handover.before()
  }

  after(): void {
    const { op, m } = this.desk
    if (op.file >= 0) return this.#noteProvided()
    if (isOverlay(op.msr)) return this.#noteWritten()
    const gpn = gpnOf(op.words[op.at + OP_ARGS], op.words[op.at + OP_ARGS + 1])
    if (op.code === OP_PAGE_FREE) return this.#scan(gpn, 0, 'when its page is freed')
    if (op.code === OP_PAGE_CLAIM) {
      const taker = this.desk.nameOf(op.actor) || 'somebody else'
      if (m.effects.ok) this.#scan(gpn, op.actor, `when ${taker} gets its page`)
      return
    }
    const kind = this.#handover.kind()
    if (kind === NO_HANDOVER) return
    const to = `to ${this.#handover.successor()}`
    this.#scan(-1, 0, to)
    if (kind !== NEXT_KERNEL) return
    // Linux switches these off behind its guest OS id, so that the id is too early to ask.
    for (const overlay of overlays(m)) {
      if (this.#written.get(keyOf(overlay))?.isProvided !== true) this.#tellOverlay(overlay, to)
    }
    this.#bootSeq = op.seq
  }

  #noteProvided(): void {
    const { op, m } = this.desk
    const place = placeOf(op.msr)
    const key = op.file * PLACE_COUNT + place
    if (!m.effects.ok) return
    const isOn = isOnAt(m, op.file, place)
    if (!op.byHost || !isOn) this.#provided.delete(key)
    if (!isOn) this.#ofGuests.delete(key)
    else if (!op.byHost) this.#ofGuests.add(key)
    // What the host writes over a guest's own is a restore.
    else if (this.#isByPlatform() && !this.#ofGuests.has(key)) this.#provided.add(key)
  }

  #noteWritten(): void {
    const { op, m } = this.desk
    if (!m.effects.ok) return
    const vcpu = op.msr === HV_X64_MSR_VP_ASSIST_PAGE ? op.vcpu : -1
    const isProvided = op.byHost && this.#isByPlatform()
    this.#written.set(keyOf({ msr: op.msr, vcpu }), { actor: op.actor, seq: op.seq, isProvided })
  }

  /** Before the guest has a name, and not a restore. */
  #isByPlatform(): boolean {
    const { shared, paused } = this.desk.m
    return (shared[GUEST_OS_ID] | shared[GUEST_OS_ID + 1]) === 0 && !paused
  }

  /** Every page register that is enabled, at `gpn` or (-1) anywhere, and not the taker's own. */
  #scan(gpn: number, taker: number, when: string): void {
    const { m, ledger } = this.desk
    for (const f of m.filesById()) {
      for (const place of PAGE_PLACES) {
        const at = wordAt(f, place)
        if (!isOnAt(m, f, place) || (gpn >= 0 && gpnOf(m.w[at], m.w[at + 1]) !== gpn)) continue
        const isOwn = ledger.enabler(f, place) === taker && ledger.enableSeq(f, place) > this.#bootSeq
        if (gpn < 0 && this.#provided.has(f * PLACE_COUNT + place)) continue
        if (isProvided(m, f, place) || (taker !== 0 && isOwn)) continue
        this.#tell(f, place, when)
      }
    }
    if (gpn < 0) return
    for (const overlay of overlays(m, gpn)) {
      const written = this.#written.get(keyOf(overlay))
      const isOwn = written !== undefined && written.actor === taker && written.seq > this.#bootSeq
      if (taker === 0 || !isOwn) this.#tellOverlay(overlay, when)
    }
  }

  #tell(f: number, place: number, when: string): void {
    const { m, ledger } = this.desk
    const actor = ledger.enabler(f, place) || ledger.writer(f, place)
    const writeSeq = ledger.writeSeq(f, place)
    // What was enabled before anybody watched may be the platform's.
    const severity = writeSeq === 0 ? 'note' : this.#handover.severity(actor)
    if (!this.#handover.isNew(f * PLACE_COUNT + place, writeSeq, severity)) return
    const who = this.desk.nameOf(actor) || 'the old kernel'
    const gpa = (gpnOf(m.w[wordAt(f, place)], m.w[wordAt(f, place) + 1]) * 4096).toString(16)
    this.desk.report({
      severity,
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, place),
      actor,
      otherSeq: ledger.enableSeq(f, place),
      text: `${who} leaves ${nameAt(m, f, place)} of vCPU ${vcpuOf(m, f)} enabled at 0x${gpa} ${when}`,
    })
  }

  #tellOverlay(overlay: Overlay, when: string): void {
    const { actor = 0, seq = 0 } = this.#written.get(keyOf(overlay)) ?? {}
    const severity = seq === 0 ? 'note' : this.#handover.severity(actor)
    if (!this.#handover.isNew(keyOf(overlay), seq, severity)) return
    const { m } = this.desk
    const { msr, vcpu } = overlay
    const who = this.desk.nameOf(actor) || 'the old kernel'
    const what = vcpu < 0 ? nameOfMsr(msr) : `${nameOfMsr(msr)} of vCPU ${vcpu}`
    const gpa = (overlayAt(m, msr, m.rowOf(vcpu)) * 4096).toString(16)
    this.desk.report({
      severity,
      vcpu,
      msr,
      actor,
      otherSeq: seq,
      text: `${who} leaves ${what} enabled at 0x${gpa} ${when}`,
    })
  }
}

/** A nested root finds SIMP and SIEFP of its own file enabled, where the platform does that. */
function isProvided(m: Machine, f: number, place: number): boolean {
  return m.nested && m.options.nested_root_l1_enabled && place !== LEDGER_SIRBP && !m.isNestedFile(f)
}

export const stalePage: Rule = {
  invariant: 'I4',
  rule: 'stale_page',
  holds: 'No overlay page is enabled when its memory is freed, reused or handed to the next kernel.',
  ops: [OP_KERNEL_BOOT, OP_PAGE_FREE, OP_PAGE_CLAIM],
  registers: ['SIMP', 'SIEFP', 'SIRBP', 'other'],
  effects: [EFFECT_LIFECYCLE],
  watch: (desk) => new StalePage(desk),
}
