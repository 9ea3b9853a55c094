/**
 * I24, every input has a defined answer: what is refused by #GP, errno or status has no consequences (TLFS
 * "Hypercall Status Codes"; KVM kvm_hv_set_msr_common). The deep twin compares the whole state.
 */
import {
  EFFECT_DROPPED,
  EFFECT_LOST,
  EFFECT_VIOLATION,
  EFFECT_WAKE,
  EFFECT_WORDS,
} from '../../synic/effects.js'
import * as o from '../../synic/op.js'
import { Partition } from '../../synic/partition.js'
import { MODEL_QEMU } from '../../synic/profile.js'
import { savePartition } from '../../synic/save-state.js'
import { isRefused, tellsDelivery } from '../refusal.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** Ops that can be refused for another reason than a missing vCPU or a pause. */
const OPS = [
  o.OP_VCPU_CREATE,
  o.OP_CAP_ENABLE,
  o.OP_MSR_READ,
  o.OP_MEM_READ,
  o.OP_MEM_WRITE,
  o.OP_HYPERCALL,
  o.OP_HV_POST_MESSAGE,
  o.OP_HV_SIGNAL_EVENT,
  o.OP_MESSAGE_POST,
  o.OP_EVENT_SIGNAL,
  o.OP_APIC_EOI,
  o.OP_GSI_ROUTE,
  o.OP_GSI_ASSERT,
  o.OP_IRQFD_BIND,
  o.OP_EVENTFD_ASSIGN,
  o.OP_EVENTFD_DEASSIGN,
  o.OP_PORT_CREATE,
  o.OP_PORT_DELETE,
  o.OP_CONNECTION_CREATE,
  o.OP_CONNECTION_DELETE,
  o.OP_CLOCK_ADVANCE,
  o.OP_MEM_CAS,
  o.OP_MEM_XCHG,
  o.OP_PAGE_CLAIM,
  o.OP_PAGE_FREE,
  o.OP_ACTOR_ATTACH,
  o.OP_ACTOR_DETACH,
]
const REGISTERS = ['SCONTROL', 'SIEFP', 'SIMP', 'SIRBP', 'EOM', 'SINT', 'STIMER', 'other'] as const

/** What a refusal itself reports: the edge, the message, the write that came to nothing. */
function isReport(kind: number): boolean {
  return kind === EFFECT_LOST || kind === EFFECT_DROPPED || kind === EFFECT_VIOLATION || kind === EFFECT_WAKE
}

class DefinedAnswers implements Watcher {
  constructor(private readonly desk: Desk) {}

  after(): void {
    const { effects } = this.desk.m
    if (effects.length === 0 || !isRefused(effects)) return
    const { words, length } = effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (isReport(words[at])) continue
      const text = `${o.OP_NAMES[this.desk.op.code]} was refused, and yet something came of it`
      return this.desk.report({ severity: 'error', text })
    }
  }
}

export const definedAnswers: Rule = {
  invariant: 'I24',
  rule: 'defined_answers',
  holds: 'What is refused has no consequences.',
  ops: OPS,
  registers: REGISTERS,
  onRefusal: true,
  watch: (desk) => new DefinedAnswers(desk),
}

class NoChangeOnRefusal implements Watcher {
  #before = ''

  constructor(private readonly desk: Desk) {}

  before(): void {
    this.#before = this.#state()
  }

  after(): void {
    const { m, op } = this.desk
    // A busy slot is flagged, and a message whose interrupt failed stands in its slot: both are told as such.
    if (!isRefused(m.effects) || tellsDelivery(m.effects) || this.#state() === this.#before) return
    const text = `${o.OP_NAMES[op.code]} was refused, and yet the partition is not as it was`
    this.desk.report({ severity: 'error', text })
  }

  #state(): string {
    const { m } = this.desk
    const state = savePartition(new Partition(m.config, m))
    if (m.profile.model !== MODEL_QEMU) return JSON.stringify(state)
    // QEMU makes a SINT's route at its first use, whatever comes of that use (hyperv_sint_route_new).
    const vcpus = state.vcpus.map((vcpu) => ({
      ...vcpu,
      files: vcpu.files.map((file) => ({ ...file, sint_to_gsi: [], sint_masks: 0 })),
    }))
    return JSON.stringify({ ...state, vcpus, qemu_routes: [] })
  }
}

export const noChangeOnRefusal: Rule = {
  invariant: 'I24',
  rule: 'no_change_on_refusal',
  holds: 'What is refused leaves the partition as it was.',
  ops: OPS,
  registers: REGISTERS,
  deep: true,
  watch: (desk) => new NoChangeOnRefusal(desk),
}
