// Synthetic timers in a kernel trace: the trace says when they start and expire, the simulation what follows.
import { HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_STIMER0_COUNT } from '../hv/msrs.js'
import {
  PAGE_ENABLE,
  SINT_MASKED,
  STIMER_DIRECT,
  STIMER_ENABLE,
  STIMER_PERIODIC,
  stimerSint,
  stimerVector,
} from '../hv/registers.js'
import type { SynicDump } from '../synic/dump.js'
import type { Body, FtraceEvent } from './ftrace-line.js'
import {
  type Expiry,
  type FtraceMachine,
  hex,
  LAG_TICKS,
  sintOf,
  type TimerTrack,
  type VcpuTrack,
  vectorOf,
} from './ftrace-machine.js'
import { freeSlot, isSlotTaken, takeSlot } from './ftrace-slots.js'

/** How far stamps may be off: the thread can lose its CPU between reading the time and the trace's line. */
const TOLERANCE_TICKS = 10_000
/** How early a callback's stamp may lie before the due time: stamps are cut to a microsecond. */
const EARLY_TICKS = 200

const UNTOLD_TIMER = 'what a timer was programmed with is not in the trace'

type Named<N extends Body['name']> = Extract<Body, { readonly name: N }>

const BUSY = -11
const NO_PAGE = -2
const PAGE_ERROR = -14

export function timerMsrs(timer: number): { config: number; count: number } {
  return { config: HV_X64_MSR_STIMER0_CONFIG + 2 * timer, count: HV_X64_MSR_STIMER0_COUNT + 2 * timer }
}

function isKnown(m: FtraceMachine, track: VcpuTrack, timer: number): boolean {
  const { config, count } = timerMsrs(timer)
  // A host's write is told by these events alone.
  const isRecorded = m.seen.has('kvm_hv_stimer_set_config') || m.seen.has('kvm_hv_stimer_set_count')
  return isRecorded && track.known.has(config) && track.known.has(count)
}

const isPeriodic = (config: number) => (config & STIMER_PERIODIC) !== 0
const isDirect = (config: number) => (config & STIMER_DIRECT) !== 0
const isEnabled = (config: number) => (config & STIMER_ENABLE) !== 0

/** What an expiry that left this state found, and what `kvm_hv_stimer_expiration` would print of it. */
function expiryOf(state: SynicDump, timer: TimerTrack, line: number): Expiry {
  const hasPage = (Number(BigInt(state.simp) & 1n) & PAGE_ENABLE) !== 0
  const masked = (sintOf(state, stimerSint(timer.config)) & SINT_MASKED) !== 0
  const isUnreadable = state.msg_page?.readable === false
  const failure = isUnreadable ? PAGE_ERROR : !hasPage || masked ? NO_PAGE : BUSY
  const result = timer.waits ? (isDirect(timer.config) ? 1 : failure) : 0
  return { result, hasPage, masked, line }
}

/**
 * Takes over what an op made of a vCPU's timers, and remembers which of them it let expire.
 * @param written a timer whose register the op wrote, and whether the op raised an interrupt
 */
export async function followTimers(
  m: FtraceMachine,
  track: VcpuTrack,
  line: number,
  written?: { readonly timer: number; readonly raised: boolean },
): Promise<void> {
  if (!track.usesTimers) return
  const state = await m.state(track.id)
  track.timers.forEach((timer, i) => {
    const { config: oldConfig, exp: oldExp, waits: waited } = timer
    const now = state.stimers[i]
    timer.config = Number(BigInt(now.config) & 0xffff_ffffn)
    timer.count = BigInt(now.count)
    timer.exp = BigInt(now.exp_time)
    timer.waits = now.msg_pending
    const runs = isEnabled(timer.config) && timer.exp !== 0n && !timer.waits
    timer.due =
      runs && timer.exp <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(timer.exp) : Number.POSITIVE_INFINITY
    if (written?.timer === i) {
      timer.calledBack = false
      timer.started = false
      timer.fired = written.raised || timer.waits ? expiryOf(state, timer, line) : undefined
      return
    }
    const ended = isPeriodic(oldConfig) ? timer.exp !== oldExp && oldExp !== 0n : !isEnabled(timer.config)
    if (isEnabled(oldConfig) && ((timer.waits && !waited) || ended))
      timer.fired = expiryOf(state, timer, line)
  })
}

/** Lets the clock reach a timer's due time, and with it those due before. */
async function fire(m: FtraceMachine, timer: TimerTrack, event: FtraceEvent): Promise<void> {
  const { due } = timer
  if (m.timeAt(event.at) < due) m.setTime(due, event.at)
  const ops = m.advanceTo(Math.max(due, m.timeAt(event.at) - LAG_TICKS), m.earliestDue(due) - 1)
  // Two timers at one time are one step of the clock; the other's due time is not behind this one's.
  await m.run(event, ops, isDirect(timer.config) ? 0 : 1)
  for (const other of m.vcpus.values()) await followTimers(m, other, event.line)
}

/** Does this timer make this interrupt, and has its time come? */
export async function fireFor(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  makes: (config: number) => boolean,
): Promise<void> {
  for (const timer of track.timers) {
    if (!Number.isFinite(timer.due) || !makes(timer.config)) continue
    // Where callbacks are recorded, none means that its time has not come.
    const isGuess = m.anchored && !m.seen.has('kvm_hv_stimer_callback')
    const isTime = isGuess && timer.due <= m.timeAt(event.at) + EARLY_TICKS
    if (!timer.calledBack && !isTime) continue
    if (!isDirect(timer.config)) {
      const sint = stimerSint(timer.config)
      const state = await m.state(track.id)
      if (isSlotTaken(state, sint)) {
        // An edge from outside looks the same; only the callback tells that it is the timer's.
        if (!timer.calledBack) continue
        m.report.lower('the guest emptied a slot without EOM or EOI', event.line)
        await m.run(event, freeSlot(state, sint))
      }
    }
    await fire(m, timer, event)
    return
  }
}

/** Does a timer with this configuration raise this vector? */
export function makesVector(state: SynicDump, vector: number): (config: number) => boolean {
  return (config) => {
    return (isDirect(config) ? stimerVector(config) : vectorOf(state, stimerSint(config))) === vector
  }
}

export function makesSint(sint: number): (config: number) => boolean {
  return (config) => !isDirect(config) && stimerSint(config) === sint
}

/** A host write: what the trace shows of a timer that the simulation could not know. */
async function correct(
  m: FtraceMachine,
  track: VcpuTrack,
  i: number,
  event: FtraceEvent,
  msr: number,
  value: bigint,
) {
  const write = { op: 'msr.write', vcpu: track.id, msr: hex(msr), value: hex(value), by: 'host' }
  await m.run(event, [write])
  await followTimers(m, track, event.line, { timer: i, raised: false })
}

/** The same COUNT again: the timer starts anew, now. The same CONFIG would end a timer on SINT0 (KVM). */
function restart(m: FtraceMachine, track: VcpuTrack, i: number, event: FtraceEvent): Promise<void> {
  return correct(m, track, i, event, timerMsrs(i).count, track.timers[i].count)
}

type Start = Named<'kvm_hv_stimer_start_periodic' | 'kvm_hv_stimer_start_one_shot'>

/** The timer starts, and the trace says what time it is. */
export async function onStart(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  body: Start,
): Promise<void> {
  const timer = track.timers[body.timer]
  const now = Number(body.now)
  if (!Number.isSafeInteger(now)) return m.report.leave('a reference time beyond 2^53', event.line)
  m.setTime(now, event.at)
  track.usesTimers = true
  await followTimers(m, track, event.line)
  // Ticks the trace passed over because the vCPU was late: they are told by no line.
  const late = timer.due <= now
  await m.run(event, m.advanceTo(now, m.earliestDue(-1, timer) - 1), 1)
  await followTimers(m, track, event.line)
  if (late) timer.fired = undefined
  if (!isKnown(m, track, body.timer)) {
    m.report.lower(UNTOLD_TIMER, event.line)
    return
  }
  const periodic = body.name === 'kvm_hv_stimer_start_periodic'
  if (isPeriodic(timer.config) !== periodic) {
    const mode = (is: boolean) => (is ? 'periodic' : 'one-shot')
    const why = `STIMER${body.timer}_CONFIG, as the trace shows it written, says otherwise.`
    return m.report.mismatch(event, mode(periodic), mode(!periodic), why)
  }
  if (!isEnabled(timer.config))
    m.report.lower('a timer starts that is not enabled as far as the trace tells', event.line)
  else if (periodic) await onPeriodic(m, track, event, body)
  else onOneShot(m, event, body, timer)
  timer.started = true
}

function onOneShot(m: FtraceMachine, event: FtraceEvent, { timer: i, due }: Start, timer: TimerTrack): void {
  m.report.check('timer_starts')
  if (timer.count !== due) {
    const why = `STIMER${i}_COUNT, as the trace shows it written, is another.`
    m.report.mismatch(event, `count ${due}`, `count ${timer.count}`, why)
  }
}

async function onPeriodic(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { timer: i, now, due }: Start,
) {
  const timer = track.timers[i]
  const isFirst = due - now === timer.count
  // The vCPU entered the guest some time after the write: begin the first period where the trace does.
  if (isFirst && timer.exp !== due) await restart(m, track, i, event)
  const wasStarted = timer.started
  const off = timer.exp - due - timer.skew
  const isPhaseKnown = wasStarted && !timer.waits && timer.count !== 0n
  if (isFirst || !isPhaseKnown) timer.skew = timer.waits ? 0n : timer.exp - due
  if (isFirst || (isPhaseKnown && off === 0n)) return m.report.check('timer_starts')
  // Whole periods apart is late or early by ticks that the trace may not show; the phase itself is exact.
  if (!isPhaseKnown || off % timer.count === 0n) {
    return m.report.lower('the phase of a periodic timer follows from lines that are missing', event.line)
  }
  m.report.check('timer_starts')
  const why = 'A periodic timer keeps the phase of its first start.'
  m.report.mismatch(event, `exp_time ${due}`, `exp_time ${timer.exp - timer.skew}`, why)
  timer.skew = timer.exp - due
}

/** The host timer fired: its time has come, but the vCPU has not looked at it yet. */
export function onCallback(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, i: number): void {
  const timer = track.timers[i]
  if (Number.isFinite(timer.due)) timer.calledBack = true
  else if (timer.fired === undefined)
    m.report.lower('a timer fires that the trace has not shown started', event.line)
}

/** The vCPU handled an expiry. */
export async function onExpiration(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  body: Named<'kvm_hv_stimer_expiration'>,
): Promise<void> {
  const timer = track.timers[body.timer]
  if (!checkMode(m, track, event, body)) return
  if (timer.fired === undefined && Number.isFinite(timer.due)) await expireNow(m, track, event, body)
  timer.calledBack = false
  const { fired } = timer
  timer.fired = undefined
  if (fired === undefined) {
    if (timer.waits && body.result === expiryOf(await m.state(track.id), timer, 0).result) {
      return m.report.check('timer_expirations')
    }
    track.unsure.add(timerMsrs(body.timer).config)
    m.report.lower('an expiry of a timer that does not run as far as the trace tells', event.line)
    return
  }
  await compareResult(m, track, event, body, fired)
}

/** Is it the kind of expiry that the registers say? */
function checkMode(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { timer: i, direct }: Named<'kvm_hv_stimer_expiration'>,
): boolean {
  const { config } = track.timers[i]
  if (!isKnown(m, track, i)) {
    m.report.lower(UNTOLD_TIMER, event.line)
    return false
  }
  if (isDirect(config) === direct) return true
  m.report.check('timer_expirations')
  const mode = (is: boolean) => (is ? 'direct 1' : 'direct 0')
  const why = `STIMER${i}_CONFIG, as the trace shows it written, says otherwise.`
  m.report.mismatch(event, mode(direct), mode(!direct), why)
  return false
}

async function expireNow(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { timer: i, result }: Named<'kvm_hv_stimer_expiration'>,
): Promise<void> {
  const timer = track.timers[i]
  const early = timer.due - m.timeAt(event.at)
  if (m.anchored && timer.started && !isPeriodic(timer.config) && early > TOLERANCE_TICKS) {
    const why = 'A timer does not expire before it is due.'
    m.report.mismatch(event, 'an expiry', `due in ${early} ticks`, why)
  }
  if (!isDirect(timer.config)) {
    const sint = stimerSint(timer.config)
    const state = await m.state(track.id)
    const taken = isSlotTaken(state, sint)
    if (taken && result === 0 && !isPeriodic(timer.config)) {
      m.report.lower('the guest emptied a slot without EOM or EOI', event.line)
      await m.run(event, freeSlot(state, sint))
    } else if (!taken && result === BUSY) {
      m.report.lower('a slot was taken by a message that is not in the trace', event.line)
      await m.run(event, takeSlot(state, sint))
    }
  }
  await fire(m, timer, event)
}

/** Known registers decide whether there is a page; all else depends on what is in the slot. */
async function compareResult(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { timer: i, result }: Named<'kvm_hv_stimer_expiration'>,
  fired: Expiry,
): Promise<void> {
  const timer = track.timers[i]
  if (result === fired.result) return m.report.check('timer_expirations')
  // A masked SINT is looked at after the slot, so that a full slot hides it (KVM synic_deliver_msg).
  const isDecided = fired.hasPage ? result === NO_PAGE && !fired.masked : result !== PAGE_ERROR
  const isCurrent = track.placeWrite.line <= fired.line
  if (!timer.waits || result !== 0) track.unsure.add(timerMsrs(i).config)
  if (isDecided && isCurrent && isPlaceKnown(track, timer)) {
    m.report.check('timer_expirations')
    const why = 'SIMP and the SINT, as the trace shows them written, decide whether a message finds its page.'
    m.report.mismatch(event, `result ${result}`, `result ${fired.result}`, why)
  } else {
    m.report.lower('what an expiry found in its slot is not in the trace', event.line)
  }
  timer.started = false
  if (result !== 0 || !timer.waits) return
  // Delivered, as far as the trace tells: a one-shot timer runs no more, a periodic one goes on.
  if (isPeriodic(timer.config)) await restart(m, track, i, event)
  else await correct(m, track, i, event, timerMsrs(i).config, BigInt((timer.config & ~STIMER_ENABLE) >>> 0))
}

function isPlaceKnown(track: VcpuTrack, timer: TimerTrack): boolean {
  const simp = 0x4000_0083
  return track.known.has(simp) && track.known.has(0x4000_0090 + stimerSint(timer.config))
}
