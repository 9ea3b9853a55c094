/**
 * I23, offline is out of reach: once a vCPU is offline no message waits for it, no flag is set, no timer
 * is enabled, and no route or port leads to it (Linux VMBus scans its flags before it lets a CPU go,
 * b635ccc1ec26; flag 0 is no channel and is skipped). What stood in a page when it was disabled counts:
 * nobody will look at it there.
 */
import { HV_VP_ANY } from '../../hv/hypercalls.js'
import { PAGE_ENABLE, SINT_COUNT, STIMER_COUNT, STIMER_ENABLE } from '../../hv/registers.js'
import { routeEntries } from '../../synic/gsi-routes.js'
import { CONFIG, FLAGS, OFFLINE, VP_INDEX } from '../../synic/layout.js'
import type { Machine } from '../../synic/machine.js'
import * as o from '../../synic/op.js'
import { timerAt } from '../../synic/stimer.js'
import { LEDGER_SIEFP, LEDGER_SIMP } from '../ledger.js'
import { isOnAt, vcpuOf } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { eventFrameOf, messageFrameOf, occupiedSlots } from '../slot-view.js'
import { forgetReset } from '../slots.js'

const WHATS = [
  'a message waits',
  'an event flag is set',
  'a timer is enabled',
  'a GSI is routed',
  'a port leads',
] as const
const MESSAGE = 0
const FLAG = 1
const TIMER = 2
const ROUTE = 3
const PORT = 4

/** Message page and event-flags page. */
const PAGES_OF_FILE = 2

class Offline implements Watcher {
  /** What was complained of, one bit each, by row; while a vCPU is offline. */
  readonly #told = new Map<number, number>()
  /** The op that disabled a page with something in it, by file * 2 + page (1: event flags). */
  readonly #leftBehind = new Map<number, number>()
  #hasContent = false

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    this.#hasContent = false
    if (op.code !== o.OP_MSR_WRITE || (op.oldLo & PAGE_ENABLE) === 0 || (op.newLo & PAGE_ENABLE) !== 0) return
    this.#hasContent =
      placeOf(op.msr) === LEDGER_SIMP
        ? occupiedSlots(m, messageFrameOf(m, op.file)) !== 0
        : hasFlag(m, op.file)
  }

  after(): void {
    const { op, m } = this.desk
    if (!m.effects.ok) return
    if (op.code === o.OP_MSR_WRITE) return this.#notePage()
    if (op.code === o.OP_PARTITION_RESET || op.code === o.OP_VCPU_RESET) {
      return forgetReset(this.desk, this.#leftBehind, PAGES_OF_FILE)
    }
    const v = m.rowOf(op.vcpu)
    this.#told.delete(v)
    if (op.code === o.OP_VCPU_OFFLINE) this.#judge(v)
  }

  settled(): void {
    const { m } = this.desk
    for (const v of m.rowsById()) if ((m.w[v + FLAGS] & OFFLINE) !== 0) this.#judge(v)
  }

  #notePage(): void {
    const { op, m } = this.desk
    const place = placeOf(op.msr)
    const key = op.file * PAGES_OF_FILE + (place === LEDGER_SIMP ? 0 : 1)
    if (isOnAt(m, op.file, place)) this.#leftBehind.delete(key)
    else if (this.#hasContent) this.#leftBehind.set(key, op.seq)
  }

  #judge(v: number): void {
    const { m } = this.desk
    for (const f of m.filesOf(v)) {
      const slots = isOnAt(m, f, LEDGER_SIMP) && occupiedSlots(m, messageFrameOf(m, f)) !== 0
      const isLeft = this.#leftBehind.has(f * 2)
      if (slots || isLeft || waits(m, f)) this.#tell(f, MESSAGE, this.#leftBehind.get(f * 2))
      const flags = isOnAt(m, f, LEDGER_SIEFP) && hasFlag(m, f)
      if (flags || this.#leftBehind.has(f * 2 + 1)) this.#tell(f, FLAG, this.#leftBehind.get(f * 2 + 1))
    }
    for (let i = 0; i < STIMER_COUNT; i++) {
      if ((m.w[timerAt(v, i) + CONFIG] & STIMER_ENABLE) !== 0) this.#tell(v, TIMER)
    }
    const vp = m.w[v + VP_INDEX]
    if (m.routed.length > 0 && routeEntries(m).some((entry) => entry.vcpu === vp)) this.#tell(v, ROUTE)
    for (const port of m.ports.values()) if (port.vp !== HV_VP_ANY && port.vp === vp) this.#tell(v, PORT)
  }

  /** Each thing once while the vCPU is offline. */
  #tell(f: number, what: number, otherSeq = 0): void {
    const { m } = this.desk
    const v = m.rowOfFile(f)
    const told = this.#told.get(v) ?? 0
    if (((told >> what) & 1) !== 0) return
    this.#told.set(v, told | (1 << what))
    const vcpu = vcpuOf(m, f)
    const where = otherSeq === 0 ? '' : ' in a page that was disabled'
    const text = `vCPU ${vcpu} is offline, and ${WHATS[what]}${what >= ROUTE ? ' to it' : ` there${where}`}`
    // A kernel that crashes stops its other CPUs where they are.
    const severity = this.desk.hasCrashed ? 'note' : 'error'
    this.desk.report({ severity, vcpu, otherSeq, text })
  }
}

function waits(m: Machine, f: number): boolean {
  for (let sint = 0; sint < SINT_COUNT; sint++) {
    const key = m.queueKey(f, sint)
    if (m.queues.has(key) || (m.qemuRoutes.get(key)?.staged ?? null) !== null) return true
  }
  return m.splits.some((split) => split.f === f)
}

/** Any flag but each SINT's flag 0. */
function hasFlag(m: Machine, f: number): boolean {
  const frame = eventFrameOf(m, f)
  if (frame === 0) return false
  const words = m.memory.view(frame)
  const perSint = words.length / SINT_COUNT
  for (let i = 0; i < words.length; i++) if ((words[i] & (i % perSint === 0 ? ~1 : -1)) !== 0) return true
  return false
}

export const offline: Rule = {
  invariant: 'I23',
  rule: 'offline',
  holds: 'Nothing waits for a vCPU that is offline, and nothing leads to it.',
  ops: [o.OP_VCPU_OFFLINE, o.OP_VCPU_ONLINE, o.OP_VCPU_RESET, o.OP_PARTITION_RESET],
  registers: ['SIMP', 'SIEFP'],
  watch: (desk) => new Offline(desk),
}
