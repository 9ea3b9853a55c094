/** Random lives in the published order give no error, by whatever names; each with one wrong step does. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PartitionKind } from '../../src/hv/cpuid.js'
import { MSR_NAMES } from '../../src/hv/msrs.js'
import { checkScenario } from '../../src/scenario/document.js'
import { runScenario, type ScenarioRun } from '../../src/scenario/run.js'
import { Partition } from '../../src/synic/partition.js'
import { AuditedMachine } from '../support/audited.js'
import { type Life, type LifeStep, lives } from '../support/legal-life.js'
import { holds } from '../support/property.js'

function run({ partition }: Pick<Life, 'partition'>, steps: readonly LifeStep[]): ScenarioRun {
  const document = checkScenario({
    scenario: 's',
    title: 't',
    source: 's',
    partition,
    steps,
    expect: 'clean',
  })
  const [only] = runScenario(document)
  if (only === undefined) throw new Error('nothing was run')
  return only
}

/** `actor register` of each error in the same ops by drivers that never attach and are called otherwise. */
function errorsOfStrangers({ trace, config }: ScenarioRun): string[] {
  const m = new AuditedMachine(new Partition(config))
  for (const { in: op } of trace) {
    if (op.op === 'actor.attach' || op.op === 'actor.detach') continue
    m.do('actor' in op ? { ...op, actor: `other_${op.actor}` } : op)
  }
  return m.violations
    .filter(({ severity }) => severity === 'error')
    .map(({ actor, msr }) => `${actor.replace('other_', '')} ${MSR_NAMES.get(msr) ?? ''}`.trim())
}

const KINDS: readonly PartitionKind[] = ['guest', 'l1vh', 'nested_root', 'root']

describe('a life in the published order', () => {
  it.each(KINDS)('gives no error: %s', (kind) => {
    const property = fc.property(lives(kind), (life) => {
      const { missing, unexpected } = run(life, life.steps).report
      expect([...missing, ...unexpected]).toEqual([])
    })
    holds(property, 60)
  })

  it.each(KINDS)('nor with drivers that never attach, by other names: %s', (kind) => {
    const property = fc.property(lives(kind), (life) => {
      expect(errorsOfStrangers(run(life, life.steps))).toEqual([])
    })
    holds(property, 60)
  })
})

interface Slip {
  readonly why: string
  readonly kinds: readonly PartitionKind[]
  readonly steps: readonly string[]
  /** Actor and register of an error. */
  readonly told: string
  /** Only MSHV makes it one, or only what drivers say when they attach. */
  readonly needs?: 'mshv' | 'claims'
}

const ORDINARY: readonly PartitionKind[] = ['guest', 'l1vh']
const SLIPS: readonly Slip[] = [
  { why: 'BZ-01 SynIC', kinds: ORDINARY, steps: ['v0 mshv SCONTROL=0'], told: 'mshv SCONTROL' },
  { why: 'BZ-01 messages', kinds: ORDINARY, steps: ['v0 mshv SIMP=0'], told: 'mshv SIMP' },
  { why: 'BZ-01 flags', kinds: ORDINARY, steps: ['v0 mshv SIEFP=0'], told: 'mshv SIEFP' },
  {
    why: 'BZ-01 after it',
    kinds: ORDINARY,
    steps: ['v0 mshv SCONTROL=0', 'v0 vmbus SINT2=0x100f3'],
    told: 'vmbus SINT2',
  },
  { why: 'BZ-02', kinds: ['l1vh'], steps: ['boot K2'], told: 'mshv SIRBP', needs: 'mshv' },
  { why: 'BZ-04', kinds: ORDINARY, steps: ['boot K2'], told: 'vmbus SIMP' },
  { why: 'BZ-04 SINT', kinds: ORDINARY, steps: ['boot K2'], told: 'vmbus SINT2' },
  { why: 'BZ-05', kinds: ['nested_root'], steps: ['v0 mshv NESTED.SIMP=0'], told: 'mshv NESTED_SIMP' },
  { why: 'BZ-06', kinds: ['l1vh'], steps: ['v0 vmbus SCONTROL=0'], told: 'vmbus SCONTROL', needs: 'mshv' },
  { why: 'BZ-06 page', kinds: ['l1vh'], steps: ['v0 vmbus SIMP=0'], told: 'vmbus SIMP', needs: 'mshv' },
  {
    why: 'BZ-08',
    kinds: ORDINARY,
    steps: ['v0 clock STIMER1_COUNT=100000 STIMER1_CONFIG=0x20003', 'v0 vmbus SINT2=0x100f3 SIMP=0'],
    told: 'vmbus SIMP',
  },
  {
    why: 'BZ-08 boot',
    kinds: KINDS,
    steps: ['v0 clock STIMER1_COUNT=100000 STIMER1_CONFIG=0x1ed3', 'boot K2'],
    told: 'clock STIMER1_CONFIG',
  },
  { why: 'BZ-09, BZ-10', kinds: ORDINARY, steps: ['v0 fb SIMP=0x777001'], told: 'fb SIMP' },
  { why: 'BZ-10 root', kinds: ['root'], steps: ['v0 fb SIMP=0x777001'], told: 'fb SIMP', needs: 'mshv' },
  { why: 'BZ-09 SINT', kinds: ORDINARY, steps: ['v0 fb SINT2=0xd1'], told: 'fb SINT2' },
  { why: 'a mask', kinds: ORDINARY, steps: ['v0 fb SINT2=0x100f3'], told: 'fb SINT2', needs: 'claims' },
  {
    why: 'BZ-13',
    kinds: KINDS,
    steps: ['attach by fb', 'detach by fb', 'hc v0 signal c9 by fb'],
    told: 'fb',
    needs: 'claims',
  },
  {
    why: 'another ring',
    kinds: ['l1vh', 'nested_root', 'root'],
    steps: ['v0 fb SIRBP=0x777001'],
    told: 'fb SIRBP',
    needs: 'mshv',
  },
]

describe('one wrong step at the end of a life is told, with its actor and register', () => {
  it.each(SLIPS)('$why: $steps', ({ kinds, steps, told, needs }) => {
    const property = fc.property(lives(...kinds), fc.nat(), (life, at) => {
      const calm = life.calm.filter(({ hasMshv }) => hasMshv || needs !== 'mshv')
      fc.pre(calm.length > 0)
      const here = calm[at % calm.length]?.steps ?? 0
      const done = run(life, [...life.steps.slice(0, here), ...steps])
      const errors = done.report.violations.filter(({ severity }) => severity === 'error')
      expect(errors.map(({ actor = '', register = '' }) => `${actor} ${register}`.trim())).toContain(told)
      if (needs !== 'claims') expect(errorsOfStrangers(done)).toContain(told)
    })
    holds(property, 15)
  })
})
