/**
 * One simulated partition: `apply(op)`, the one door. A pure function of state and op; effects say what
 * became.
 */
import { toNumber } from '../hv/bits.js'
import { EBUSY, EINVAL, ENOSYS } from '../hv/errno.js'
import { NAMES_MAX } from '../hv/limits.js'
import { SINT_COUNT } from '../hv/registers.js'
import { take } from './apic.js'
import { advance } from './clock.js'
import { dumpSynic } from './dump.js'
import { type Effects, HAS_VALUE } from './effects.js'
import * as routing from './gsi-routes.js'
import { postHost, signalHost } from './host-posts.js'
import { hypercall, messageOf, postMessage, signalEvent } from './hypercalls.js'
import { APIC_ENABLED, FLAGS, HALTED, NESTED_FILE, TPR } from './layout.js'
import * as life from './lifecycle.js'
import { Machine, type PartitionConfig } from './machine.js'
import * as memory from './memory-ops.js'
import type { Message } from './message-slot.js'
import { readMsr, writeMsr } from './msr-table.js'
import { NameTable } from './names.js'
import * as op from './op.js'
import { bootKernel } from './ownership.js'
import * as ports from './ports.js'
import { endInterrupt, settle } from './settle.js'
import { stepSplit } from './split-delivery.js'
import { endMessage } from './synic-registers.js'

/** What an op needs of its vCPU. */
const NO_VCPU = 0
const ANY_VCPU = 1
/**
 * While the partition is paused only these go on: the host's register and memory ops, and what is not a
 * vCPU's.
 */
const PAUSED_NO = 2

/** Per op code: does it name an existing vCPU, and is it refused while paused? */
const NEEDS = new Uint8Array(op.OP_NAMES.length)
for (const code of [
  op.OP_VCPU_RESET,
  op.OP_VCPU_OFFLINE,
  op.OP_VCPU_ONLINE,
  op.OP_CAP_ENABLE,
  op.OP_MSR_READ,
]) {
  NEEDS[code] = ANY_VCPU
}
for (const code of [op.OP_MSR_WRITE, op.OP_SYNIC_DUMP, op.OP_APIC_ENABLE, op.OP_VCPU_KICK])
  NEEDS[code] = ANY_VCPU
for (const code of [
  op.OP_HYPERCALL,
  op.OP_HV_POST_MESSAGE,
  op.OP_HV_SIGNAL_EVENT,
  op.OP_MESSAGE_POST,
  op.OP_EVENT_SIGNAL,
  op.OP_MESSAGE_COMPLETE,
  op.OP_APIC_ACK,
  op.OP_APIC_EOI,
  op.OP_APIC_TPR,
  op.OP_VCPU_HALT,
  op.OP_VCPU_ENTER,
]) {
  NEEDS[code] = ANY_VCPU | PAUSED_NO
}
NEEDS[op.OP_HOST_STEP] = NO_VCPU | PAUSED_NO

/** Does this op act on a vCPU that must exist? */
export function namesVcpu(code: number): boolean {
  return (NEEDS[code] & ANY_VCPU) !== 0
}

const posted: Message = { type: 0, bytes: 0, senderLo: 0, senderHi: 0, words: new Int32Array(0), at: 0 }

export class Partition {
  readonly machine: Machine
  readonly names: NameTable
  /** Ops applied so far; the next one gets this plus one. */
  seq = 0

  constructor(config: PartitionConfig, machine = new Machine(config), names = new NameTable(NAMES_MAX)) {
    this.machine = machine
    this.names = names
  }

  get effects(): Effects {
    return this.machine.effects
  }

  /** Reference time, 100 ns ticks. */
  get now(): number {
    return this.machine.now
  }

  /** Ascending. */
  vcpuIds(): number[] {
    const { machine } = this
    return machine.rowsById().map((v) => machine.vcpuId(v))
  }

  hasVcpu(id: number): boolean {
    return this.machine.rowOf(id) >= 0
  }

  /** Does the vCPU sleep until a wake? */
  isHalted(id: number): boolean {
    const v = this.machine.rowOf(id)
    return v >= 0 && (this.machine.w[v + FLAGS] & HALTED) !== 0
  }

  /**
   * Applies the op record that begins at `at`, whole or not at all, and settles. The outcome stands in
   * `effects` until the next call. A vCPU that does not exist is answered with -EINVAL, like every bad index.
   */
  apply(words: Int32Array, at: number): void {
    const m = this.machine
    m.effects.reset()
    this.seq++
    const first = words[at]
    const code = first & op.OP_CODE
    const needs = NEEDS[code]
    let v = -1
    if ((needs & ANY_VCPU) !== 0) {
      v = m.rowOf(words[at + op.OP_VCPU])
      if (v < 0) return m.effects.fail(EINVAL)
    }
    if (m.paused && ((needs & PAUSED_NO) !== 0 || isGuestAccess(code, first))) return m.effects.fail(EBUSY)
    // The two halves keep each switch small enough for the optimising compiler.
    if (code <= op.OP_APIC_TPR) this.#applyToVcpu(code, first, v, words, at + op.OP_ARGS)
    else this.#applyToPartition(code, first, v, words, at)
    settle(m)
  }

  #applyToVcpu(code: number, first: number, v: number, words: Int32Array, a: number): void {
    const m = this.machine
    const { effects } = m
    const host = (first & op.OP_BY_HOST) !== 0
    switch (code) {
      case op.OP_MSR_WRITE:
        if (!writeMsr(m, v, words[a], words[a + 1], words[a + 2], host)) refuse(effects, host)
        return
      case op.OP_MSR_READ:
        if (!readMsr(m, v, words[a], host)) {
          effects.has &= ~HAS_VALUE
          refuse(effects, host)
        }
        return
      case op.OP_MESSAGE_POST: {
        const f = fileOf(m, v, first)
        if (f < 0) return effects.fail(EINVAL)
        posted.type = words[a + 1]
        posted.senderLo = words[a + 2]
        posted.senderHi = words[a + 3]
        posted.bytes = words[a + 4]
        posted.words = words
        posted.at = a + 5
        return postHost(m, f, words[a], posted)
      }
      case op.OP_EVENT_SIGNAL: {
        const f = fileOf(m, v, first)
        return f < 0 ? effects.fail(EINVAL) : signalHost(m, f, words[a], words[a + 1])
      }
      case op.OP_MESSAGE_COMPLETE: {
        const f = fileOf(m, v, first)
        if (f < 0 || words[a] < 0 || words[a] >= SINT_COUNT) return effects.fail(EINVAL)
        if (memory.freeSlot(m, f, words[a])) endMessage(m, f)
        return
      }
      case op.OP_APIC_ACK:
        return effects.setVector(take(m, v))
      case op.OP_APIC_EOI:
        // A CPU ends its own interrupts: nobody has an interface to do it for another (docs/profiles.md).
        return host ? effects.fail(EINVAL) : endInterrupt(m, v)
      case op.OP_APIC_TPR:
        m.w[v + TPR] = words[a] & 0xff
        return
      case op.OP_MEM_READ:
        return memory.memRead(m, words[a], words[a + 1], words[a + 2])
      case op.OP_MEM_WRITE:
        return memory.memWrite(m, words[a], words[a + 1], words[a + 2], words, a + 3, host)
      case op.OP_HYPERCALL:
        return hypercall(m, v, words, a)
      case op.OP_HV_POST_MESSAGE:
        return postMessage(m, v, words[a], messageOf(words[a + 1], words[a + 2], words, a + 3))
      case op.OP_HV_SIGNAL_EVENT:
        return signalEvent(m, v, words[a], words[a + 1])
      case op.OP_VCPU_CREATE:
        return failIf(effects, life.createVcpu(m, words[a - op.OP_ARGS + op.OP_VCPU]))
      case op.OP_VCPU_RESET:
        return life.resetVcpu(m, v)
      case op.OP_VCPU_OFFLINE:
      case op.OP_VCPU_ONLINE:
        return life.setOffline(m, v, code === op.OP_VCPU_OFFLINE)
      case op.OP_CAP_ENABLE:
        return failIf(effects, life.enableCap(m, v, words[a]))
      default:
        return effects.fail(EINVAL)
    }
  }

  #applyToPartition(code: number, first: number, v: number, words: Int32Array, at: number): void {
    const m = this.machine
    const { effects } = m
    const a = at + op.OP_ARGS
    const host = (first & op.OP_BY_HOST) !== 0
    switch (code) {
      case op.OP_GSI_ASSERT: {
        const result = routing.assertGsi(m, words[a])
        return result < 0 ? effects.fail(result) : undefined
      }
      case op.OP_GSI_ROUTE:
        return failIf(effects, routing.setRoutes(m, words, a + 1, words[a]))
      case op.OP_IRQFD_BIND:
        return failIf(effects, routing.bindIrqfd(m, words[a], (first & op.FLAG_RESAMPLE) !== 0))
      case op.OP_IRQFD_UNBIND:
        return routing.unbindIrqfd(m, words[a])
      case op.OP_EVENTFD_ASSIGN:
      case op.OP_EVENTFD_DEASSIGN:
        return failIf(effects, ports.changeEventfd(m, words[a], code === op.OP_EVENTFD_ASSIGN))
      case op.OP_CLOCK_ADVANCE:
        return failIf(effects, advance(m, toNumber(words[a], words[a + 1])))
      case op.OP_SYNIC_DUMP:
        return effects.setDump(dumpSynic(m, v))
      case op.OP_PARTITION_PAUSE:
      case op.OP_PARTITION_RESUME:
        m.paused = code === op.OP_PARTITION_PAUSE
        return
      case op.OP_PARTITION_RESET:
        return life.resetPartition(m)
      case op.OP_MEM_CAS: {
        const expect: readonly [number, number] = [words[a + 3], words[a + 4]]
        const lo = words[a + 5]
        return memory.memExchange(m, words[a], words[a + 1], words[a + 2], expect, lo, words[a + 6], host)
      }
      case op.OP_MEM_XCHG: {
        const lo = words[a + 3]
        return memory.memExchange(m, words[a], words[a + 1], words[a + 2], null, lo, words[a + 4], host)
      }
      case op.OP_APIC_ENABLE:
        if (words[a] !== 0) m.w[v + FLAGS] |= APIC_ENABLED
        else m.w[v + FLAGS] &= ~APIC_ENABLED
        return
      case op.OP_VCPU_HALT:
        return life.halt(m, v)
      case op.OP_VCPU_ENTER:
        return life.enter(m, v)
      case op.OP_VCPU_KICK:
        return life.kick(m, v, (first & op.FLAG_TRANSIENT) === 0)
      case op.OP_HOST_STEP: {
        const row = words[a + 1] === -1 ? -1 : m.rowOf(words[a + 1])
        if (words[a + 1] !== -1 && row < 0) return effects.fail(EINVAL)
        return stepSplit(m, words[a], row, words[a + 2])
      }
      case op.OP_PAGE_CLAIM:
        return memory.claimPage(m, words[a], words[a + 1], this.names.text(words[at + op.OP_ACTOR]))
      case op.OP_PAGE_FREE:
        return memory.freePage(m, words[a], words[a + 1])
      case op.OP_ACTOR_ATTACH:
      case op.OP_ACTOR_DETACH:
      case op.OP_KERNEL_BOOT:
        return bootKernel(m, this.names, code, words, at)
      default:
        return this.#applyToPorts(code, words, a)
    }
  }

  #applyToPorts(code: number, words: Int32Array, a: number): void {
    const m = this.machine
    // KVM has no ports: a guest's HvPostMessage leaves it as an HCALL exit, which user space answers.
    if (m.profile.kvm && m.config.profile !== 'qemu') return m.effects.fail(ENOSYS)
    switch (code) {
      case op.OP_PORT_CREATE: {
        const [port, type, vp, sint, baseFlag, flagCount] = words.subarray(a, a + 6)
        return m.effects.setStatus(
          ports.createPort(m, port, { type, vp: vp >>> 0, sint, baseFlag, flagCount }),
        )
      }
      case op.OP_PORT_DELETE:
        return m.effects.setStatus(ports.deletePort(m, words[a]))
      case op.OP_CONNECTION_CREATE: {
        const [conn, port, gpaLo, gpaHi, valueLo, valueHi, flags] = words.subarray(a, a + 7)
        const rings = m.ports.get(port)?.type === ports.DOORBELL_TYPE
        const doorbell = rings ? { gpaLo, gpaHi, valueLo, valueHi, flags } : null
        return m.effects.setStatus(ports.connect(m, conn, { port, doorbell }))
      }
      case op.OP_CONNECTION_DELETE:
        return m.effects.setStatus(ports.disconnect(m, words[a]))
      default:
        return m.effects.fail(EINVAL)
    }
  }
}

const ACCESSES = [op.OP_MSR_WRITE, op.OP_MSR_READ, op.OP_MEM_CAS, op.OP_MEM_XCHG]

/** What a vCPU does by running; the VMM may do the same while all of them stand still. */
function isGuestAccess(code: number, first: number): boolean {
  return (first & op.OP_BY_HOST) === 0 && ACCESSES.includes(code)
}

/** A refused access: #GP in the guest; the VMM's ioctl fails. */
function refuse(effects: Effects, host: boolean): void {
  if (host) effects.fail(EINVAL)
  else effects.gp()
}

function failIf(effects: Effects, result: number): void {
  if (result < 0) effects.fail(result)
}

/** The register file an op speaks of, or -1 where the partition has no nested one. */
function fileOf(m: Machine, v: number, first: number): number {
  if ((first & op.FLAG_NESTED) === 0) return v
  return m.nested ? v + NESTED_FILE : -1
}
