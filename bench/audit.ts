// What watching costs the core: the same cycles with and without the auditor that `observe` runs, in turn.
import { Auditor } from '../src/audit/auditor.js'
import type { ProfileName } from '../src/synic/profile.js'
import { Cycles, hex, prepared } from './core.js'
import { median, nsEach, type Row, summary } from './measure.js'

const ITERATIONS = 200_000
const ROUNDS = 9
const GOAL = 1.5

type Cycle = (vcpu: number) => ({ op: string } & Record<string, unknown>)[]

const CYCLES: readonly [what: string, cycle: Cycle][] = [
  ['SINT write', (vcpu) => [{ op: 'msr.write', vcpu, msr: 'SINT3', value: 0x100f4 }]],
  [
    'SINT write by the driver that owns it',
    (vcpu) => [{ op: 'msr.write', vcpu, msr: 'SINT2', value: 0xf3, actor: 'vmbus' }],
  ],
  [
    'message cycle (post, take, complete, EOI)',
    (vcpu) => [
      { op: 'message.post', vcpu, sint: 2, type: 1, hex },
      { op: 'apic.ack', vcpu },
      { op: 'message.complete', vcpu, sint: 2 },
      { op: 'apic.eoi', vcpu },
    ],
  ],
  [
    'GSI cycle (edge, take, EOI, resample)',
    (vcpu) => [
      { op: 'gsi.assert', gsi: 100 + vcpu },
      { op: 'apic.ack', vcpu },
      { op: 'apic.eoi', vcpu },
    ],
  ],
]

function compare(profile: ProfileName, what: string, cycle: Cycle): Row[] {
  const plain = new Cycles(prepared(profile).partition, cycle)
  const { partition } = prepared(profile)
  const watched = new Cycles(partition, cycle)
  const auditor = new Auditor(partition)
  const audited = (count: number) => watched.runAudited(count, auditor)
  const bare = (count: number) => plain.run(count)
  for (const run of [bare, audited, bare, audited]) run(ITERATIONS)
  const pairs = Array.from({ length: ROUNDS }, () => [nsEach(ITERATIONS, bare), nsEach(ITERATIONS, audited)])
  const ratio = median(pairs.map(([without, withAudit]) => withAudit / without))
  const baseline = `${what}, audit off`
  return [
    { what: `${profile}: ${baseline}`, unit: 'ns', ...summary(pairs.map(([without]) => without)) },
    {
      what: `${profile}: ${what}, observed`,
      unit: 'ns',
      ...summary(pairs.map(([, withAudit]) => withAudit)),
      ratio,
      baseline: 'audit off',
      goal: `<= ${GOAL}`,
      met: ratio <= GOAL,
    },
  ]
}

export function auditRows(): Row[] {
  return CYCLES.flatMap(([what, cycle]) => compare('kvm-synic2', what, cycle))
}
