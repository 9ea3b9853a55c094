// Replays kernel events: each becomes ops of the simulation, and what it tells is held against their results.

import { GPA_LIMIT_PAGES_MAX } from '../hv/limits.js'
import { HV_X64_MSR_EOI, HV_X64_MSR_EOM } from '../hv/msrs.js'
import { type OpenCall, onHypercall, onHypercallDone } from './ftrace-hypercalls.js'
import { endMsr, expireWaiting, onAccept, onAcked, onEoi, onInject, onSetIrq } from './ftrace-interrupts.js'
import { type FtraceEvent, type MsrBody, parseFtraceLine } from './ftrace-line.js'
import { FtraceMachine, type VcpuTrack, WINDOW_TICKS } from './ftrace-machine.js'
import { compareWrite, isSimulated, type OpenWrite, onRead, onWrite, write } from './ftrace-msr.js'
import { FtraceReport, type FtraceSummary } from './ftrace-report.js'
import { onCallback, onExpiration, onStart, timerMsrs } from './ftrace-timers.js'
import { type PlacedEvent, VcpuResolver } from './ftrace-vcpu.js'
import { ReplayInputError } from './input-error.js'
import { gpaLimitText, type Overrides } from './machine-config.js'
import type { ReplayTarget, TargetConfig } from './target.js'

/** Numbers of the two register ranges; other MSRs are none of Hyper-V's. */
const RANGES = [
  [0x4000_0000, 0x4000_0115],
  [0x4000_1000, 0x4000_10ff],
] as const

const isInRange = (msr: number) => RANGES.some(([first, last]) => msr >= first && msr <= last)

const BACKWARDS =
  'a stamp is before that of the line before it, as where files of several CPUs stand one behind the other'
const NOTHING =
  'no kvm:* or msr:* event that could be replayed; record with trace-cmd record -e msr, or -e kvm on a host'
const UNTIMED =
  'stamps that are no seconds: record with the clock local, global, mono or boot (trace-cmd record -C)'

export async function replayFtrace(
  name: string,
  batches: AsyncIterable<readonly string[]>,
  target: ReplayTarget,
  options: Overrides,
): Promise<FtraceSummary> {
  const run = new FtraceRun(name, target, options)
  for await (const lines of batches) {
    for (const text of lines) run.read(text)
    await run.work()
  }
  return run.finish()
}

class FtraceRun {
  readonly #report = new FtraceReport()
  readonly #resolver = new VcpuResolver()
  #machine: FtraceMachine | undefined
  #config: TargetConfig | undefined
  #source: 'host' | 'guest' = 'host'
  /** Writes seen at their `kvm_hv_*` line, by thread. */
  readonly #writes = new Map<number, OpenWrite>()
  readonly #calls = new Map<number, OpenCall>()
  /** Lines that tell of lost events, ahead of the event at hand. */
  readonly #lost: number[] = []
  #checkedAt = Number.NEGATIVE_INFINITY
  #hasUntimed = false
  /** Of the event before. */
  #stamp = Number.NEGATIVE_INFINITY

  constructor(
    private readonly name: string,
    private readonly target: ReplayTarget,
    private readonly options: Overrides,
  ) {}

  /** Takes a line in; events wait until their vCPU is known. */
  read(text: string): void {
    const { lines } = this.#report
    const parsed = parseFtraceLine(text, ++lines.total)
    switch (parsed.kind) {
      case 'blank':
      case 'comment':
        lines.comments++
        return
      case 'unknown':
        lines.unknown++
        return
      case 'untimed':
        lines.unknown++
        this.#hasUntimed = true
        return this.#report.lower(UNTIMED, lines.total)
      case 'lost':
        lines.comments++
        this.#lost.push(lines.total)
        return this.#report.lower('the kernel lost events while recording', lines.total)
      case 'other':
        lines.events++
        return this.#report.skip(parsed.name, 'an event of no use here')
      case 'unreadable':
        lines.events++
        this.#report.lower('an event could not be read', lines.total)
        return this.#report.skip(parsed.name, 'its text has another form than known kernels print')
      case 'event':
        lines.events++
        this.#inOrder(parsed.event)
        this.#resolver.push(parsed.event)
    }
  }

  /** Merged output is in order of time; what is not is replayed as it stands: nothing tells a better way. */
  #inOrder({ at, line }: FtraceEvent): void {
    if (at < this.#stamp) this.#report.lower(BACKWARDS, line)
    this.#stamp = at
  }

  async work(): Promise<void> {
    for (let placed = this.#resolver.next(); placed !== undefined; placed = this.#resolver.next()) {
      await this.#place(placed)
    }
  }

  async finish(): Promise<FtraceSummary> {
    this.#resolver.end()
    await this.work()
    const machine = this.#machine
    const config = this.#config
    if (machine === undefined || config === undefined) {
      const why = this.#hasUntimed ? UNTIMED : NOTHING
      throw new ReplayInputError(`${this.name}: ${why}`)
    }
    await expireWaiting(machine, Number.POSITIVE_INFINITY)
    return this.#report.summary({
      file: this.name,
      target: this.target.name,
      source: this.#source,
      profile: config.profile,
      kind: config.kind,
      vcpus: machine.vcpus.size,
    })
  }

  /** The first event of use decides what machine the trace is of. */
  async #begin({ body }: FtraceEvent): Promise<FtraceMachine> {
    const { profile, kind, options } = this.options
    this.#source = body.name === 'read_msr' || body.name === 'write_msr' ? 'guest' : 'host'
    const config: TargetConfig = {
      source: this.#source,
      profile: profile ?? (this.#source === 'guest' ? 'tlfs' : 'kvm-synic2'),
      kind: kind ?? 'guest',
      // How much memory there is, and which privileges, is not in a trace: all of both.
      gpaLimit: gpaLimitText(GPA_LIMIT_PAGES_MAX),
      vcpus: 0,
      options: { enforce_cpuid: false, ...options },
    }
    await this.target.create(config)
    this.#config = config
    const machine = new FtraceMachine(
      this.target,
      this.#report,
      this.#source === 'host',
      config.profile === 'kvm',
      options?.disabled_write === undefined,
    )
    this.#machine = machine
    return machine
  }

  async #place({ event, vcpu, source }: PlacedEvent): Promise<void> {
    const { body } = event
    if (body.name === 'kvm_entry' || body.name === 'kvm_exit') return this.#report.use(body.name)
    const outOfRange = 'msr' in body && !isInRange(body.msr)
    if (outOfRange) return this.#report.skip(body.name, 'no MSR of Hyper-V')
    if ('msr' in body && !isSimulated(body.msr))
      return this.#report.skip(body.name, 'an MSR that is not simulated')
    const machine = this.#machine ?? (await this.#begin(event))
    while (this.#lost.length > 0 && this.#lost[0] < event.line) {
      machine.forget(this.#lost.shift() ?? 0)
    }
    const fromGuest = body.name === 'read_msr' || body.name === 'write_msr'
    if (fromGuest !== (this.#source === 'guest')) {
      this.#report.lower('kvm:* and msr:* events are of two machines: only one is replayed', event.line)
      return this.#report.skip(body.name, 'of another machine than the first event')
    }
    machine.isGuessed = source === 'guessed'
    const track = await machine.vcpu(vcpu)
    if (track === undefined) return this.#report.skip(body.name, 'a vCPU number beyond what is simulated')
    if (source === 'guessed') {
      const why = "no event names a thread's vCPU: threads are numbered in order of appearance"
      this.#report.lower(why, event.line)
    }
    machine.seen.add(body.name)
    this.#report.use(body.name)
    await this.#handle(machine, track, event)
    if (event.at - this.#checkedAt < WINDOW_TICKS) return
    this.#checkedAt = event.at
    await expireWaiting(machine, event.at)
  }

  async #handle(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent): Promise<void> {
    const { body } = event
    switch (body.name) {
      case 'kvm_msr':
      case 'read_msr':
      case 'write_msr':
        return this.#access(m, track, event, body)
      case 'kvm_hv_synic_set_msr':
        return this.#write(m, track, event, body.msr, body.value, body.host)
      case 'kvm_hv_stimer_set_config':
        return this.#write(m, track, event, timerMsrs(body.timer).config, body.value, body.host)
      case 'kvm_hv_stimer_set_count':
        return this.#write(m, track, event, timerMsrs(body.timer).count, body.value, body.host)
      case 'kvm_hv_synic_set_irq':
        return onSetIrq(m, track, event, body)
      case 'kvm_hv_synic_send_eoi':
      case 'kvm_eoi':
        return onEoi(m, track, event, body.vector)
      case 'kvm_hv_notify_acked_sint':
        return this.#acked(m, track, event, body.sint)
      case 'kvm_hv_stimer_start_periodic':
      case 'kvm_hv_stimer_start_one_shot':
        return onStart(m, track, event, body)
      case 'kvm_hv_stimer_callback':
        return onCallback(m, track, event, body.timer)
      case 'kvm_hv_stimer_expiration':
        return onExpiration(m, track, event, body)
      case 'kvm_apic_accept_irq':
        return onAccept(m, track, event, body)
      case 'kvm_inj_virq':
        return onInject(m, track, event, body)
      case 'kvm_hv_hypercall':
      case 'kvm_hv_hypercall_done':
        return this.#call(m, track, event)
      // A cleanup follows from the write or the expiry before it; entries only say which thread is which
      // vCPU.
      case 'kvm_hv_stimer_cleanup':
      case 'kvm_entry':
      case 'kvm_exit':
        return
    }
  }

  /** A write told by its own event; the guest's `kvm_msr` line will tell how it ended. */
  async #write(
    m: FtraceMachine,
    track: VcpuTrack,
    event: FtraceEvent,
    msr: number,
    value: bigint,
    host: boolean,
  ): Promise<void> {
    const open = await write(m, track, event, msr, value, host)
    // A SynIC that is not active refuses before this event is printed, except a host's write of 0.
    if (!host || value !== 0n) track.offered.add(msr)
    if (!host) this.#writes.set(event.pid, open)
  }

  /** An acknowledgement that begins with SINT0 is an EOM's, also where its own line is not recorded. */
  async #acked(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, sint: number): Promise<void> {
    if (sint === 0 && track.acks?.has(0) !== true) {
      m.report.lower('an acknowledgement whose EOI or EOM is not in the trace', event.line)
      this.#writes.set(event.pid, await write(m, track, event, HV_X64_MSR_EOM, 0n, false))
    }
    onAcked(m, track, event, sint)
  }

  async #access(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, body: MsrBody): Promise<void> {
    const open = this.#writes.get(event.pid)
    this.#writes.delete(event.pid)
    if (body.msr === HV_X64_MSR_EOI && body.write) return endMsr(m, track, event, body.value, body.gp)
    track.eoi = undefined
    // EOM's acknowledgements are printed before its own line, any other access ends them.
    if (body.msr !== HV_X64_MSR_EOM) track.acks = undefined
    if (!body.write) return onRead(m, track, event, body)
    const isSame = open?.msr === body.msr && (open.value === body.value || body.msr === HV_X64_MSR_EOM)
    if (open !== undefined && isSame) {
      const written = m.vcpus.get(open.vcpu) ?? track
      return compareWrite(m, written, event, open, body.gp)
    }
    return onWrite(m, track, event, body)
  }

  async #call(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent): Promise<void> {
    const { body, pid } = event
    if (body.name === 'kvm_hv_hypercall') {
      const call = await onHypercall(m, track, event, body)
      if (call === undefined) this.#calls.delete(pid)
      else this.#calls.set(pid, call)
    } else if (body.name === 'kvm_hv_hypercall_done') {
      const call = this.#calls.get(pid)
      this.#calls.delete(pid)
      if (call !== undefined) onHypercallDone(m, event, body.result, call)
      else this.#report.unuse(body.name, 'of a call that is not replayed')
    }
  }
}
