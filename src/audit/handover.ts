/**
 * When one kernel hands the machine to the next: it takes back its guest OS id (Linux hyperv_cleanup,
 * iPXE), or the next one starts. And what was told of a register once, so that the second half does not
 * tell it again.
 */
import { HV_X64_MSR_GUEST_OS_ID } from '../hv/msrs.js'
import { GUEST_OS_ID } from '../synic/machine.js'
import * as o from '../synic/op.js'
import type { Desk, Severity } from './rule.js'

export const NO_HANDOVER = 0
/** GUEST_OS_ID := 0. The reference TSC page is switched off after it (hyperv_cleanup). */
export const ID_TAKEN_BACK = 1
export const NEXT_KERNEL = 2

const CAUSE_CRASH = o.BOOT_CAUSES.indexOf('crash')

export class Handover {
  #hadId = false
  /** Register to the seq of the write that was complained of, and how much of a complaint it was. */
  readonly #told = new Map<number, { readonly writeSeq: number; readonly severity: Severity }>()

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { shared } = this.desk.m
    this.#hadId = (shared[GUEST_OS_ID] | shared[GUEST_OS_ID + 1]) !== 0
  }

  /**
   * What the op at hand is, after it. The reset of a vCPU or the machine is none: it asks nobody and clears
   * what it clears. QEMU resets vCPUs with unmasked SINTs and zeroes registers later (kvm_put_msrs).
   */
  kind(): number {
    const { op, m } = this.desk
    if (op.code === o.OP_KERNEL_BOOT) {
      const cause = op.words[op.at + o.OP_ARGS + 1]
      return cause === o.BOOT_RESET ? NO_HANDOVER : NEXT_KERNEL
    }
    if (op.code !== o.OP_MSR_WRITE) return NO_HANDOVER
    const takesBack = op.msr === HV_X64_MSR_GUEST_OS_ID && (op.newLo | op.newHi) === 0 && !op.byHost
    return takesBack && m.effects.ok && (this.#hadId || op.actor !== 0) ? ID_TAKEN_BACK : NO_HANDOVER
  }

  /** A crash is a note; so is what guests do of whom nobody is named. */
  severity(actor: number): Severity {
    const { op } = this.desk
    const isNamed = actor !== 0 || op.actor !== 0 || op.code !== o.OP_MSR_WRITE
    return this.#isCrash() || !isNamed ? 'note' : 'error'
  }

  /** A kernel that crashed leaves the other CPUs as they are, and its successor knows (kdump). */
  #isCrash(): boolean {
    const { op } = this.desk
    const isCrashBoot = op.code === o.OP_KERNEL_BOOT && op.words[op.at + o.OP_ARGS + 1] === CAUSE_CRASH
    return isCrashBoot || this.desk.hasCrashed
  }

  /**
   * Is this the first complaint about what was written to the register then? What a crash or a guest without
   * a name may leave for now is no excuse for whoever hands it on: after a note an error is new.
   */
  isNew(register: number, writeSeq: number, severity: Severity): boolean {
    const told = this.#told.get(register)
    if (told?.writeSeq === writeSeq && (told.severity === severity || severity === 'note')) return false
    this.#told.set(register, { writeSeq, severity })
    return true
  }

  /** The name of who takes over, for a sentence. */
  successor(): string {
    const { op } = this.desk
    return op.code === o.OP_KERNEL_BOOT ? this.desk.nameOf(op.words[op.at + o.OP_ARGS]) : 'the next kernel'
  }
}
