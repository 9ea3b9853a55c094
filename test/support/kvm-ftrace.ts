/**
 * What a KVM host's kernel would have printed while a golden trace was made: its events, in the kernel's
 * order.
 */
import * as msrs from '../../src/hv/msrs.js'
import { stimerSint, stimerVector } from '../../src/hv/registers.js'
import type { SynicDump, TimerDump } from '../../src/synic/dump.js'
import { eventLine } from './ftrace.js'
import { machine, type TestMachine, type WireInput } from './machine.js'

const IO_THREAD = 600

interface Irq {
  vcpu: number
  vector: number
}

interface Timer {
  config: number
  exp: bigint
  waits: boolean
}

const timerIn = ({ config, exp_time, msg_pending }: TimerDump): Timer => ({
  config: Number(BigInt(config) & 0xffff_ffffn),
  exp: BigInt(exp_time),
  waits: msg_pending,
})

const isSynic = (msr: number) => msr >= msrs.HV_X64_MSR_SCONTROL && msr < msrs.HV_X64_MSR_STIMER0_CONFIG
const isTimer = (msr: number) =>
  msr >= msrs.HV_X64_MSR_STIMER0_CONFIG && msr < msrs.HV_X64_MSR_STIMER0_CONFIG + 8
const digits = (text: unknown) => BigInt(String(text)).toString(16)

export class KvmTrace {
  readonly lines: string[] = []
  readonly #m: TestMachine
  readonly #vcpus: number[] = []
  #timers = new Map<number, Timer[]>()
  #routes = new Map<number, number>()

  constructor(profile: 'kvm', gpaPages: number) {
    this.#m = machine({ profile, vcpus: 0, gpaPages })
  }

  #print(event: string, vcpu: number | undefined): void {
    const micros = Math.floor(this.#m.partition.now / 10)
    this.lines.push(eventLine(micros, event, vcpu === undefined ? IO_THREAD : 1000 + vcpu, vcpu ?? 7))
  }

  #dump(vcpu: number): SynicDump {
    return this.#m.do({ op: 'synic.dump', vcpu }).dump as unknown as SynicDump
  }

  do(op: WireInput): void {
    const vcpu = typeof op.vcpu === 'number' ? op.vcpu : undefined
    if (op.op === 'clock.advance') return this.#advance(Number(op.ticks))
    if (vcpu !== undefined && this.#vcpus.includes(vcpu)) this.#before(op, vcpu)
    const isr = vcpu !== undefined && op.op === 'apic.eoi' ? this.#dump(vcpu) : undefined
    const result = this.#m.do(op)
    if (op.op === 'vcpu.create' && result.ok && vcpu !== undefined) {
      this.#vcpus.push(vcpu)
      this.#vcpus.sort((a, b) => a - b)
      this.#timers.set(vcpu, this.#dump(vcpu).stimers.map(timerIn))
      this.#print(`kvm_entry: vcpu ${vcpu}, rip 0xfffff80000000000`, vcpu)
    }
    if (op.op === 'gsi.route' && result.ok) {
      const entries = op.entries as { gsi: number; sint: number }[]
      this.#routes = new Map(entries.map(({ gsi, sint }) => [gsi, sint]))
    }
    const irqs = [...(result.irqs ?? [])]
    if (op.op === 'gsi.assert') this.#edge(Number(op.gsi), irqs)
    if (vcpu === undefined) return
    const gp = result.fault === undefined ? '' : ' (#GP)'
    const guest = op.by !== 'host'
    if (op.op === 'msr.read' && guest && result.errno === undefined) {
      this.#print(`kvm_msr: msr_read ${digits(op.msr)} = ${result.value ?? '0x0'}${gp}`, vcpu)
    }
    if (op.op === 'msr.write' && guest && result.errno === undefined) {
      this.#print(`kvm_msr: msr_write ${digits(op.msr)} = 0x${digits(op.value)}${gp}`, vcpu)
    }
    if (op.op === 'apic.ack' && result.vector !== undefined && result.vector >= 0) {
      this.#print(`kvm_inj_virq: IRQ 0x${result.vector.toString(16)}`, vcpu)
    }
    if (isr !== undefined) this.#eoi(vcpu, isr)
    this.#entries(irqs, op.op === 'msr.write' && result.ok ? { vcpu, msr: Number(op.msr) } : undefined)
  }

  /** Events printed from inside a write, before it has ended. */
  #before(op: WireInput, vcpu: number): void {
    const msr = Number(op.msr)
    if (op.op !== 'msr.write' || !(isSynic(msr) || isTimer(msr))) return
    const host = op.by === 'host'
    const value = BigInt(String(op.value))
    const { active } = this.#dump(vcpu)
    if (!active && (!host || value !== 0n)) return
    const by = `host ${host ? 1 : 0}`
    if (isSynic(msr)) {
      this.#print(
        `kvm_hv_synic_set_msr: vcpu_id ${vcpu} msr 0x${msr.toString(16)} data 0x${digits(value)} ${by}`,
        vcpu,
      )
      if (msr !== msrs.HV_X64_MSR_EOM || !active) return
      for (let sint = 0; sint < 16; sint++)
        this.#print(`kvm_hv_notify_acked_sint: vcpu_id ${vcpu} sint ${sint}`, vcpu)
      return
    }
    const timer = (msr - msrs.HV_X64_MSR_STIMER0_CONFIG) >> 1
    const what = (msr & 1) === 0 ? `config 0x${digits(value)}` : `count ${value}`
    const name = (msr & 1) === 0 ? 'kvm_hv_stimer_set_config' : 'kvm_hv_stimer_set_count'
    this.#print(`${name}: vcpu_id ${vcpu} timer ${timer} ${what} ${by}`, vcpu)
    this.#print(`kvm_hv_stimer_cleanup: vcpu_id ${vcpu} timer ${timer}`, vcpu)
  }

  #edge(gsi: number, irqs: readonly Irq[]): void {
    for (const { vcpu, vector } of irqs) {
      const sint = this.#routes.get(gsi)
      this.#print(`kvm_apic_accept_irq: apicid ${vcpu.toString(16)} vec ${vector} (Fixed|edge)`, undefined)
      this.#print(`kvm_hv_synic_set_irq: vcpu_id ${vcpu} sint ${sint} vector ${vector} ret 1`, undefined)
    }
  }

  #eoi(vcpu: number, before: SynicDump): void {
    const vector = before.isr.at(-1) ?? -1
    this.#print(`kvm_eoi: apicid ${vcpu.toString(16)} vector ${vector}`, vcpu)
    if (!before.vectors.includes(vector)) return
    this.#print(`kvm_hv_synic_send_eoi: vcpu_id ${vcpu} vector ${vector}`, vcpu)
    before.sints.forEach((text, sint) => {
      if ((BigInt(text) & 0x100ffn) !== BigInt(vector)) return
      this.#print(`kvm_hv_notify_acked_sint: vcpu_id ${vcpu} sint ${sint}`, vcpu)
    })
  }

  /** Time up to each due time in turn, as the host's timers fire. */
  #advance(ticks: number): void {
    const end = this.#m.partition.now + ticks
    for (;;) {
      const due = [...this.#timers].flatMap(([vcpu, timers]) =>
        timers.flatMap(({ config, exp, waits }, timer) =>
          (config & 1) !== 0 && !waits && exp > BigInt(this.#m.partition.now) && exp <= BigInt(end)
            ? [{ vcpu, timer, exp: Number(exp) }]
            : [],
        ),
      )
      const next = Math.min(end, ...due.map(({ exp }) => exp))
      const result = this.#m.do({ op: 'clock.advance', ticks: Math.max(0, next - this.#m.partition.now) })
      for (const { vcpu, timer, exp } of due) {
        if (exp <= next) this.#print(`kvm_hv_stimer_callback: vcpu_id ${vcpu} timer ${timer}`, undefined)
      }
      this.#entries([...(result.irqs ?? [])])
      if (next === end) return
    }
  }

  /** What each vCPU's timers do when it next enters the guest. */
  #entries(irqs: Irq[], written?: { vcpu: number; msr: number }): void {
    for (const vcpu of this.#vcpus) {
      const state = this.#dump(vcpu)
      const before = this.#timers.get(vcpu) ?? []
      const after = state.stimers.map(timerIn)
      after.forEach((timer, i) => {
        const isWritten =
          written?.vcpu === vcpu &&
          isTimer(written.msr) &&
          (written.msr - msrs.HV_X64_MSR_STIMER0_CONFIG) >> 1 === i
        this.#entry({ vcpu, i, state, irqs }, before[i], timer, isWritten)
      })
      this.#timers.set(vcpu, after)
    }
  }

  #entry(
    { vcpu, i, state, irqs }: { vcpu: number; i: number; state: SynicDump; irqs: Irq[] },
    before: Timer,
    after: Timer,
    written: boolean,
  ): void {
    const direct = (after.config & (1 << 12)) !== 0
    const sint = stimerSint(after.config)
    const periodic = (after.config & 2) !== 0
    const vector = direct ? stimerVector(after.config) : Number(BigInt(state.sints[sint]) & 0xffn)
    const raised = irqs.findIndex((irq) => irq.vcpu === vcpu && irq.vector === vector)
    const ended = periodic ? after.exp !== before.exp && before.exp !== 0n : (after.config & 1) === 0
    const expired = written
      ? raised >= 0 || after.waits
      : (before.config & 1) !== 0 && ((after.waits && !before.waits) || ended)
    if (expired) {
      if (raised >= 0 && !after.waits) {
        irqs.splice(raised, 1)
        this.#print(`kvm_apic_accept_irq: apicid ${vcpu.toString(16)} vec ${vector} (Fixed|edge)`, vcpu)
        if (!direct)
          this.#print(`kvm_hv_synic_set_irq: vcpu_id ${vcpu} sint ${sint} vector ${vector} ret 1`, vcpu)
      }
      const result = after.waits ? this.#failure(state, sint) : 0
      const how = `direct ${direct ? 1 : 0} send result ${result}`
      this.#print(`kvm_hv_stimer_expiration: vcpu_id ${vcpu} timer ${i} ${how}`, vcpu)
    }
    const runs = (after.config & 1) !== 0 && !after.waits && after.exp !== 0n
    if (!runs || !(written || expired || after.exp !== before.exp)) return
    const now = this.#m.partition.now
    if (periodic) {
      const times = `time_now ${now} exp_time ${after.exp}`
      this.#print(`kvm_hv_stimer_start_periodic: vcpu_id ${vcpu} timer ${i} ${times}`, vcpu)
    } else
      this.#print(
        `kvm_hv_stimer_start_one_shot: vcpu_id ${vcpu} timer ${i} time_now ${now} count ${after.exp}`,
        vcpu,
      )
  }

  #failure(state: SynicDump, sint: number): number {
    if ((BigInt(state.simp) & 1n) === 0n || (BigInt(state.sints[sint]) & 0x10000n) !== 0n) {
      return state.msg_page !== null && !state.msg_page.readable ? -14 : -2
    }
    return state.msg_page?.readable === false ? -14 : -11
  }
}
