/** What the harness puts into a story that is right: the perturbations, and what each of them may bring. */
import { hexU64, parseMsr } from '../api/wire.js'
import { HV_X64_MSR_SINT0, MSR_NAMES, NESTED_MSR_OFFSET } from '../hv/msrs.js'
import { SINT_COUNT, SINT_MASKED } from '../hv/registers.js'
import { routeEntries } from '../synic/gsi-routes.js'
import { APIC_ENABLED, FLAGS, SCONTROL, SINTS } from '../synic/layout.js'
import type { Partition } from '../synic/partition.js'
import { sintGsi } from '../synic/sint.js'
import type { TraceStep } from './machine.js'

/** Where in a story it happens. */
interface Place {
  readonly partition: Partition
  /** Ops that were done. */
  readonly done: readonly TraceStep[]
  /** The op that comes next; none at the end. */
  readonly next: TraceStep | undefined
}

/** A rule that may report an error then, and why that is right. */
interface Consequence {
  readonly rule: string
  readonly because: string
}

export interface Perturbation {
  readonly name: string
  readonly says: string
  /**
   * What it may change for the guest: nothing; an edge, which is then told to be lost; or it makes another
   * story of it, in which only the rules have a say.
   */
  readonly changes: 'nothing' | 'an edge' | 'the story'
  readonly allows: readonly Consequence[]
  /** How it can be done here: each way as lines of a scenario. */
  ways(place: Place): readonly (readonly string[])[]
  /** The next op is refused, in place of such lines. */
  readonly refuses?: true
}

const vcpusOf = ({ partition }: Place) => partition.vcpuIds()

/** vCPUs that are at work: of the next op, and of the last one before it; memory ops name none. */
function busyVcpus({ done, next }: Place): readonly unknown[] {
  const hasVcpu = (step: TraceStep) => typeof step.in.vcpu === 'number'
  return [done.findLast(hasVcpu), next].map((step) => step?.in.vcpu)
}

/** Who wrote the register last, and has not gone since; '' for the platform, undefined if there is nobody. */
function ownerOf({ done }: Place, vcpu: number, msr: number): string | undefined {
  const isWrite = ({ in: op }: TraceStep) =>
    op.op === 'msr.write' && op.vcpu === vcpu && parseMsr(op.msr) === msr
  const at = done.findLastIndex(isWrite)
  if (at < 0) return undefined
  const { actor = '' } = done[at].in
  const isEnd = ({ in: op }: TraceStep) =>
    op.op === 'kernel.boot' || (op.op === 'actor.detach' && op.actor === actor)
  return done.slice(at).some(isEnd) ? undefined : String(actor)
}

function* maskings(place: Place): Generator<string[]> {
  const { machine: m } = place.partition
  for (const v of m.rowsById()) {
    const vcpu = m.vcpuId(v)
    for (const f of m.filesOf(v)) {
      for (let sint = 0; sint < SINT_COUNT; sint++) {
        const [lo, hi] = m.w.subarray(f + SINTS + 2 * sint)
        const msr = HV_X64_MSR_SINT0 + sint + (f === v ? 0 : NESTED_MSR_OFFSET)
        const owner = ownerOf(place, vcpu, msr)
        // Where the SynIC is off nobody sees the SINT, and the order of its writes is judged (I1).
        if ((lo & SINT_MASKED) !== 0 || (m.w[f + SCONTROL] & 1) === 0 || owner === undefined) continue
        const write = (value: number) =>
          ['', `v${vcpu}`, owner, `${MSR_NAMES.get(msr)}=${hexU64(value, hi)}`].filter(Boolean).join(' ')
        yield [write(lo | SINT_MASKED), write(lo)]
      }
    }
  }
}

function routeLine({ partition }: Place): string {
  const entries = routeEntries(partition.machine)
  return ['route', ...entries.map(({ gsi, vcpu, sint }) => `${gsi}:v${vcpu}.s${sint}`)].join(' ')
}

/** On KVM a route that is set before its SynIC is active has no link, and gets one if set again (M1). */
function isInstalled({ partition: { machine: m } }: Place): boolean {
  // Of several routes to one SINT the last one counts.
  const bySint = new Map(routeEntries(m).map((entry) => [`${entry.vcpu}.${entry.sint}`, entry]))
  return [...bySint.values()].every(({ gsi, vcpu, sint }) => {
    const v = m.rowOfVp(vcpu)
    return v < 0 || !m.isActive(v) || sint >= SINT_COUNT || sintGsi(m, v, sint) === gsi
  })
}

function hasApicOn({ partition: { machine: m } }: Place, vcpu: number): boolean {
  return (m.w[m.rowOf(vcpu) + FLAGS] & APIC_ENABLED) !== 0
}

/** Rules of liveness: what was to come never comes, for whoever waited for it is no longer as it was. */
const NOBODY_COMES: readonly Consequence[] = [
  { rule: 'message_unread', because: 'I6: its reader is gone, or never took it' },
  { rule: 'waiting_message', because: 'I7: who was to make room was reset, or did not come so far' },
  { rule: 'slot_leak', because: 'I7: the EOM that was to follow is what was lost' },
  { rule: 'event_flags', because: 'I10: the flag stands, its interrupt or handler does not' },
  { rule: 'lost_wake', because: 'I14: the wake was for what is no longer there' },
  { rule: 'offline', because: 'I23: the vCPU goes, and its driver has not cleared what it should' },
  { rule: 'timer_without_slot', because: 'I15: the expiry waits for a slot that nobody provides' },
]

/** Rules of ownership and life cycle, for a driver that does not notice what has become of its registers. */
const UNAWARE: readonly Consequence[] = [
  { rule: 'write_under_foreign_disable', because: 'I1: the driver goes on with a SynIC that is off' },
  { rule: 'disabled_write', because: 'I1: the same, where the hypervisor does not tolerate it' },
  { rule: 'rug_pull', because: 'I3: a release that did not come leaves a dependent behind' },
  { rule: 'wrong_order', because: 'I3: what one failed to enable the other uses' },
  { rule: 'timer_on_masked_sint', because: 'I15: the timer is armed, its SINT is masked' },
]

/** Where a driver tears down what is not there any more, or its write faults on a SynIC that is off. */
const STILL_ARMED: readonly Consequence[] = [
  { rule: 'stale_page', because: 'I4: the page is still enabled when it is given back' },
  { rule: 'stale_sint', because: 'I4: the SINT is still unmasked for the next kernel' },
  { rule: 'stale_timer', because: 'I4: the timer still runs for the next kernel' },
  { rule: 'page_overlap', because: 'I9: a read that failed gives address 0, and that is enabled' },
]

export const PERTURBATIONS: readonly Perturbation[] = [
  {
    name: 'snapshot-restore',
    says: 'the partition is saved and goes on from what was saved (I19)',
    changes: 'nothing',
    allows: [],
    ways: () => [['snap perturbation', 'restore perturbation']],
  },
  {
    name: 'pause-resume',
    says: 'the partition is paused and resumed (I21, I22)',
    changes: 'nothing',
    allows: [],
    ways: ({ partition }) => (partition.machine.paused ? [] : [['pause', 'resume']]),
  },
  {
    name: 'same-route',
    says: 'the route table is replaced by itself (I17)',
    changes: 'nothing',
    allows: [],
    ways: (place) => (isInstalled(place) ? [[routeLine(place)]] : []),
  },
  {
    name: 'foreign-eom',
    says: 'a vCPU that is not at work writes EOM (I13)',
    changes: 'nothing',
    allows: [],
    ways: (place) => {
      const busy = busyVcpus(place)
      return vcpusOf(place).flatMap((vcpu) => (busy.includes(vcpu) ? [] : [[`v${vcpu} EOM=0`]]))
    },
  },
  {
    name: 'mask-unmask',
    says: 'a SINT is masked and unmasked by its owner (I7, I11)',
    changes: 'an edge',
    allows: [],
    ways: (place) => [...maskings(place)],
  },
  {
    name: 'apic-off-on',
    says: 'the APIC of a vCPU goes off and on (I11)',
    changes: 'an edge',
    allows: [],
    ways: (place) =>
      vcpusOf(place)
        .filter((vcpu) => hasApicOn(place, vcpu))
        .map((vcpu) => [`apic v${vcpu} off`, `apic v${vcpu} on`]),
  },
  {
    name: 'reset-vcpu',
    says: 'a vCPU is reset under its drivers (I5)',
    changes: 'the story',
    allows: [...NOBODY_COMES, ...UNAWARE, ...STILL_ARMED],
    ways: (place) => vcpusOf(place).map((vcpu) => [`reset v${vcpu}`]),
  },
  {
    name: 'failing-step',
    says: 'an access to a register faults, and does nothing (I24)',
    changes: 'the story',
    allows: [...NOBODY_COMES, ...UNAWARE, ...STILL_ARMED],
    ways: ({ next }) => (isGuestAccess(next) ? [[]] : []),
    refuses: true,
  },
]

function isGuestAccess(step: TraceStep | undefined): boolean {
  return step !== undefined && /^msr\./.test(step.in.op) && step.in.by !== 'host'
}
