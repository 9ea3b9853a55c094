/**
 * Guest drivers as generators of steps: one op a step, so that anything may run between two of them. A step
 * is an op record in the making; what the op did comes back into the generator.
 */
import { assert } from '../hv/assert.js'
import { type Halves, highHalf, lowHalf } from '../hv/bits.js'
import { CONTROL_FAST } from '../hv/hypercalls.js'
import type { Effects } from '../synic/effects.js'
import type { NameTable } from '../synic/names.js'
import * as o from '../synic/op.js'

/** In a claim: the register of every vCPU. */
const EVERY_VCPU = -1

/** One op of one actor. */
export interface Step {
  readonly actor: string
  readonly code: number
  readonly vcpu: number
  /** A name whose id stands before the other words: the kernel that boots. */
  readonly name?: string
  /** Words behind the header, as op.ts lists them with each code. */
  readonly args: readonly number[]
  /** Bytes behind them, with their count. */
  readonly bytes?: Uint8Array
  readonly flags?: number
  readonly byHost?: boolean
}

/**
 * A driver at work. What `next` is given are the effects of the step: valid until the next step, like all
 * effects.
 */
export type Strand<T = void> = Generator<Step, T, Effects>

/** Who acts, and where. */
export interface Place {
  readonly actor: string
  readonly vcpu: number
}

export function rdmsr({ actor, vcpu }: Place, msr: number): Step {
  return { actor, vcpu, code: o.OP_MSR_READ, args: [msr] }
}

export function wrmsr({ actor, vcpu }: Place, msr: number, lo: number, hi = 0): Step {
  return { actor, vcpu, code: o.OP_MSR_WRITE, args: [msr, lo, hi] }
}

/** Reads a register; both halves 0 if that faults, as Linux's rdmsrl_safe leaves them. */
export function* read(at: Place, msr: number): Strand<Halves> {
  const effects = yield rdmsr(at, msr)
  return effects.ok ? { lo: effects.valueLo, hi: effects.valueHi } : { lo: 0, hi: 0 }
}

/** Read, change, write: the way most drivers treat a register they share. */
export function* update(at: Place, msr: number, change: (old: Halves) => Halves): Strand<Halves> {
  const old = yield* read(at, msr)
  const { lo, hi } = change(old)
  yield wrmsr(at, msr, lo, hi)
  return old
}

/** Time goes by while the driver waits. */
export function wait({ actor, vcpu }: Place, ticks: number): Step {
  return { actor, vcpu, code: o.OP_CLOCK_ADVANCE, args: halves(ticks) }
}

/** The CPU takes its most important interrupt; `vector` of the effects is -1 if there is none. */
export function takeInterrupt({ actor, vcpu }: Place): Step {
  return { actor, vcpu, code: o.OP_APIC_ACK, args: [] }
}

export function endInterrupt({ actor, vcpu }: Place): Step {
  return { actor, vcpu, code: o.OP_APIC_EOI, args: [] }
}

/** HvPostMessage. */
export function hvPost({ actor, vcpu }: Place, connection: number, type: number, payload: Uint8Array): Step {
  return { actor, vcpu, code: o.OP_HV_POST_MESSAGE, args: [connection, type], bytes: payload }
}

/** HvSignalEvent with flag 0, as all of Linux's are. */
export function hvSignal({ actor, vcpu }: Place, connection: number): Step {
  return { actor, vcpu, code: o.OP_HV_SIGNAL_EVENT, args: [connection, 0] }
}

/** A hypercall by register (fast): what it needs is one 64-bit input. */
export function fastHypercall({ actor, vcpu }: Place, call: number, input: number): Step {
  const control = call | CONTROL_FAST
  return { actor, vcpu, code: o.OP_HYPERCALL, args: [control, 0, ...halves(input), 0, 0] }
}

export function vcpuOnline({ actor, vcpu }: Place): Step {
  return { actor, vcpu, code: o.OP_VCPU_ONLINE, args: [] }
}

export function vcpuOffline({ actor, vcpu }: Place): Step {
  return { actor, vcpu, code: o.OP_VCPU_OFFLINE, args: [] }
}

/** A driver starts: the registers it says are its own, on every vCPU. */
export function attach(actor: string, registers: readonly number[]): Step {
  const claims = registers.flatMap((msr) => [EVERY_VCPU, msr])
  return { actor, vcpu: 0, code: o.OP_ACTOR_ATTACH, args: [registers.length, ...claims] }
}

export function detach(actor: string): Step {
  return { actor, vcpu: 0, code: o.OP_ACTOR_DETACH, args: [] }
}

/** The next kernel begins. */
export function bootKernel(actor: string, kernel: string, cause: (typeof o.BOOT_CAUSES)[number]): Step {
  return { actor, vcpu: 0, code: o.OP_KERNEL_BOOT, name: kernel, args: [o.BOOT_CAUSES.indexOf(cause)] }
}

/** A non-negative safe integer as the two words an op has for it. */
export function halves(value: number): [lo: number, hi: number] {
  return [lowHalf(value), highHalf(value)]
}

/** The op record of a step. */
export function writeStep(step: Step, out: o.OpWriter, names: NameTable): void {
  const { actor, code, vcpu, name, args, bytes, flags = 0, byHost = false } = step
  out.begin(code, vcpu, byHost, nameId(names, actor), flags).reserve(args.length + 1)
  if (name !== undefined) out.put(nameId(names, name))
  for (const word of args) out.put(word)
  if (bytes !== undefined) out.putBytes(bytes)
  out.end()
}

function nameId(names: NameTable, text: string): number {
  const id = text === '' ? 0 : names.intern(text)
  assert(id >= 0, 'drivers and kernels have few names')
  return id
}
