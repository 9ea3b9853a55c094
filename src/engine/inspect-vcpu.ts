/** One vCPU's state decoded for people. Looks only: no step of the machine, no seq, no line in the log. */
import type { EventsView, MessagesView, SynicView, VcpuView } from '../api/vcpu.js'
import { hexU32, hexU64 } from '../api/wire.js'
import { bitsSet, gpnOf } from '../hv/bits.js'
import { FLAGS_PER_SINT, flagWord } from '../hv/event-flags.js'
import { hexOfBytes } from '../hv/hex.js'
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import {
  HEADER_BYTES,
  HVMSG_NONE,
  MESSAGE_PENDING,
  MESSAGE_TYPE_NAMES,
  PAYLOAD_BYTES_MAX,
  SLOT_SENDER,
  SLOT_SIZE_FLAGS,
  SLOT_TYPE,
  SLOT_WORDS,
} from '../hv/messages.js'
import * as r from '../hv/registers.js'
import { deliverable } from '../synic/apic.js'
import * as at from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import { isAccessible, visibleFrame } from '../synic/pages.js'
import { sintGsi } from '../synic/sint.js'
import { timerAt } from '../synic/stimer.js'
import { EngineError } from './errors.js'
import type { PartitionHost } from './partition-host.js'

const SINTS = Array.from({ length: r.SINT_COUNT }, (_, sint) => sint)

/**
 * Word where a vCPU's row begins.
 * @throws EngineError vcpu-not-found
 */
export function rowOf(host: PartitionHost, vcpu: number): number {
  const v = host.partition.machine.rowOf(vcpu)
  if (v >= 0) return v
  throw new EngineError('vcpu-not-found', `Partition ${host.id} has no vCPU ${vcpu}.`, [
    { path: 'vcpu', message: `no vCPU ${vcpu} in this partition` },
  ])
}

/**
 * Word where a vCPU's register file begins.
 * @throws EngineError vcpu-not-found; not-found where there is no nested file
 */
function fileOf(host: PartitionHost, vcpu: number, nested: boolean): number {
  const v = rowOf(host, vcpu)
  if (!nested) return v
  if (host.partition.machine.nested) return v + at.NESTED_FILE
  throw new EngineError('not-found', `Partition ${host.id} is no nested root: its vCPUs have one SynIC each.`)
}

const word64 = (m: Machine, place: number) => hexU64(m.w[place], m.w[place + 1])

function pageView(m: Machine, register: number) {
  const lo = m.w[register]
  const gpn = gpnOf(lo, m.w[register + 1])
  return {
    value: word64(m, register),
    enabled: (lo & r.PAGE_ENABLE) !== 0,
    gpa: `0x${(BigInt(gpn) * BigInt(GPA_PAGE_BYTES)).toString(16)}`,
    readable: isAccessible(m, gpn),
  }
}

/** The words the guest finds where an enabled page register points; undefined while it finds none. */
function pageWords(m: Machine, register: number): Int32Array | undefined {
  const gpn = gpnOf(m.w[register], m.w[register + 1])
  const enabled = (m.w[register] & r.PAGE_ENABLE) !== 0
  return enabled && isAccessible(m, gpn) ? m.memory.view(visibleFrame(m, gpn)) : undefined
}

function sintView(m: Machine, f: number, sint: number) {
  const place = f + at.SINTS + 2 * sint
  const lo = m.w[place]
  const gsi = sintGsi(m, f, sint)
  return {
    sint,
    value: word64(m, place),
    vector: lo & r.SINT_VECTOR,
    masked: (lo & r.SINT_MASKED) !== 0,
    auto_eoi: (lo & r.SINT_AUTO_EOI) !== 0,
    polling: (lo & r.SINT_POLLING) !== 0,
    as_intercept: (lo & r.SINT_AS_INTERCEPT) !== 0,
    proxy: (lo & r.SINT_PROXY) !== 0,
    gsi: gsi < 0 ? null : gsi,
  }
}

function slotView(m: Machine, f: number, words: Int32Array, sint: number) {
  const slot = words.subarray(sint * SLOT_WORDS, (sint + 1) * SLOT_WORDS)
  const type = slot[SLOT_TYPE]
  const sizeAndFlags = slot[SLOT_SIZE_FLAGS]
  const size = sizeAndFlags & 0xff
  const bytes = new Uint8Array(slot.buffer, slot.byteOffset + HEADER_BYTES, Math.min(size, PAYLOAD_BYTES_MAX))
  const name = MESSAGE_TYPE_NAMES.get(type >>> 0)
  return {
    sint,
    state: type === HVMSG_NONE ? ('empty' as const) : ('full' as const),
    type: hexU32(type),
    ...(name === undefined ? {} : { type_name: name }),
    payload_size: size,
    pending: (sizeAndFlags & MESSAGE_PENDING) !== 0,
    flags: (sizeAndFlags >>> 8) & 0xff,
    sender: hexU64(slot[SLOT_SENDER], slot[SLOT_SENDER + 1]),
    hex: hexOfBytes(bytes),
    waiting: m.queues.get(m.queueKey(f, sint))?.length ?? 0,
  }
}

function slots(m: Machine, f: number) {
  const words = pageWords(m, f + at.SIMP)
  return words === undefined ? [] : SINTS.map((sint) => slotView(m, f, words, sint))
}

function flagsSet(words: Int32Array, sint: number): number[] {
  const first = flagWord(sint, 0)
  return Array.from({ length: FLAGS_PER_SINT / 256 }, (_, i) =>
    bitsSet(words, first + 8 * i).map((bit) => 256 * i + bit),
  ).flat()
}

function events(m: Machine, f: number) {
  const words = pageWords(m, f + at.SIEFP)
  if (words === undefined) return []
  return SINTS.map((sint) => ({ sint, flags: flagsSet(words, sint) })).filter(({ flags }) => flags.length > 0)
}

function synicView(m: Machine, f: number): SynicView {
  const sirbp = m.profile.microsoftRegisters && !m.isNestedFile(f) && m.config.kind !== 'guest'
  return {
    active: m.isActive(f),
    enabled: (m.w[f + at.SCONTROL] & r.SCONTROL_ENABLE) !== 0,
    scontrol: word64(m, f + at.SCONTROL),
    sversion: word64(m, f + at.SVERSION),
    simp: pageView(m, f + at.SIMP),
    siefp: pageView(m, f + at.SIEFP),
    ...(sirbp ? { sirbp: pageView(m, f + at.SIRBP) } : {}),
    sints: SINTS.map((sint) => sintView(m, f, sint)),
    slots: slots(m, f),
    events: events(m, f),
  }
}

function timerView(m: Machine, v: number, timer: number) {
  const t = timerAt(v, timer)
  const config = m.w[t + at.CONFIG]
  const direct = (config & r.STIMER_DIRECT) !== 0
  const due = m.due.dueOf((v / m.stride) * r.STIMER_COUNT + timer)
  const waits = (1 << (at.MSG_PENDING_SHIFT + timer)) | (1 << (at.TIMER_QUEUED_SHIFT + timer))
  return {
    timer,
    config: word64(m, t + at.CONFIG),
    count: word64(m, t + at.COUNT),
    enabled: (config & r.STIMER_ENABLE) !== 0,
    periodic: (config & r.STIMER_PERIODIC) !== 0,
    lazy: (config & r.STIMER_LAZY) !== 0,
    auto_enable: (config & r.STIMER_AUTO_ENABLE) !== 0,
    direct,
    ...(direct ? { vector: r.stimerVector(config) } : { sint: r.stimerSint(config) }),
    expiration: word64(m, t + at.EXP_TIME),
    due: Number.isFinite(due) ? due : null,
    waiting: (m.w[v + at.FLAGS] & waits) !== 0,
  }
}

function summaryAt(m: Machine, v: number) {
  const flags = m.w[v + at.FLAGS]
  return {
    vcpu: m.vcpuId(v),
    vp_index: m.w[v + at.VP_INDEX],
    online: (flags & at.OFFLINE) === 0,
    halted: (flags & at.HALTED) !== 0,
    active: m.isActive(v),
  }
}

/** Every vCPU in order of its number, in short. */
export function vcpuSummaries(host: PartitionHost) {
  const m = host.partition.machine
  return m.rowsById().map((v) => summaryAt(m, v))
}

/** A fact of the whole partition: KVM gives APICv up while any SINT has auto-EOI. */
export function apicvFact(host: PartitionHost) {
  const { autoEoiUsers } = host.partition.machine
  return { inhibited: autoEoiUsers > 0, auto_eoi_users: autoEoiUsers }
}

/** @throws EngineError vcpu-not-found */
export function vcpuView(host: PartitionHost, vcpu: number): VcpuView {
  const m = host.partition.machine
  const v = rowOf(host, vcpu)
  const flags = m.w[v + at.FLAGS]
  return {
    ...summaryAt(m, v),
    wake_pending: (flags & at.WAKE_TOKEN) !== 0,
    synic: synicView(m, v),
    ...(m.nested ? { nested: synicView(m, v + at.NESTED_FILE) } : {}),
    timers: [0, 1, 2, 3].map((timer) => timerView(m, v, timer)),
    apic: {
      enabled: (flags & at.APIC_ENABLED) !== 0,
      tpr: m.w[v + at.TPR],
      irr: bitsSet(m.w, v + at.IRR),
      isr: bitsSet(m.w, v + at.ISR),
      deliverable: deliverable(m, v),
    },
    apicv: apicvFact(host),
  }
}

export function messagesView(host: PartitionHost, vcpu: number, nested: boolean): MessagesView {
  const m = host.partition.machine
  const f = fileOf(host, vcpu, nested)
  return { page: pageView(m, f + at.SIMP), slots: slots(m, f) }
}

export function eventsView(host: PartitionHost, vcpu: number, nested: boolean): EventsView {
  const m = host.partition.machine
  const f = fileOf(host, vcpu, nested)
  return { page: pageView(m, f + at.SIEFP), sints: events(m, f) }
}

/**
 * Address of a vCPU's event-flags page.
 * @throws EngineError page-disabled
 */
export function eventPageGpa(host: PartitionHost, vcpu: number, nested: boolean): bigint {
  const m = host.partition.machine
  const { enabled, gpa, value } = pageView(m, fileOf(host, vcpu, nested) + at.SIEFP)
  if (enabled) return BigInt(gpa)
  throw new EngineError(
    'page-disabled',
    `SIEFP of vCPU ${vcpu} is ${value}: the event-flags page is disabled.`,
  )
}
