/** The harness of perturbations: what is right stays right under them, and what is not is found. */
import { describe, expect, it } from 'vitest'
import type { ScenarioDocument } from '../../src/api/scenario.js'
import { RULES } from '../../src/audit/rules.js'
import { scenarioCommand } from '../../src/cli/commands/scenario.js'
import { checkScenario } from '../../src/scenario/document.js'
import { scenarioLibrary } from '../../src/scenario/library.js'
import { type PerturbOptions, type PerturbReport, perturb } from '../../src/scenario/perturb.js'
import { perturbText } from '../../src/scenario/perturb-text.js'
import { PERTURBATIONS, type Perturbation } from '../../src/scenario/perturbations.js'
import { runCommand } from '../support/command.js'

/** Every step of these; of the others every so-manieth, or the test would take a minute. */
const WHOLE = ['silent-vmbus-up', 'silent-freebsd-handler']
const STRIDE = 6

const transparent = PERTURBATIONS.filter(({ changes }) => changes === 'nothing')

function reportOf(document: ScenarioDocument, options?: PerturbOptions): PerturbReport {
  const work = perturb(document, options)
  let next = work.next()
  while (next.done !== true) next = work.next()
  return next.value
}

const silent = [...scenarioLibrary().values()].filter(({ scenario }) => scenario.startsWith('silent-'))
const strideOf = ({ scenario }: ScenarioDocument) => (WHOLE.includes(scenario) ? 1 : STRIDE)

const OWN = checkScenario({
  scenario: 'own',
  title: 't',
  source: 's',
  partition: { profile: 'tlfs', vcpus: 2 },
  steps: [
    'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1',
    'signal v0 s2 f5',
    'take v0 -> vector 0xf3',
    'clear v0 s2 f5',
    'eoi v0',
    'post v0 s2 t=1 #A -> delivered',
    'take v0',
    'done v0 s2',
    'eoi v0',
  ],
  expect: 'clean',
})

describe('a story that is right', () => {
  it.each(silent.map((each) => [each.scenario, each] as const))('stays what it is: %s', (_name, document) => {
    const { findings, skipped } = reportOf(document, {
      perturbations: transparent,
      stride: strideOf(document),
    })
    expect(findings).toEqual([])
    expect(skipped).toEqual([])
  })

  it.each(PERTURBATIONS)('brings no more than it may: $name', (perturbation) => {
    const { findings, tallies } = reportOf(OWN, { perturbations: [perturbation] })
    expect(findings).toEqual([])
    expect(tallies[0].runs).toBeGreaterThan(0)
    expect(tallies[0].clean + tallies[0].allowed).toBe(tallies[0].runs)
  })

  it('gives the same report when it is told again', () => {
    expect(reportOf(OWN)).toEqual(reportOf(OWN))
  })
})

describe('each perturbation', () => {
  it('names rules and reasons once', () => {
    for (const { allows } of PERTURBATIONS) {
      expect(new Set(allows.map(({ rule }) => rule)).size).toBe(allows.length)
      expect(allows.filter(({ because }) => !/^I\d+: /.test(because))).toEqual([])
    }
  })

  it('lets no rule pass that judges the machine itself', () => {
    const judges = RULES.filter(({ deep }) => deep === true).map(({ rule }) => rule)
    expect(judges).toContain('no_change_on_refusal')
    const allowed = PERTURBATIONS.flatMap(({ allows }) => allows.map(({ rule }) => rule))
    expect(allowed.filter((rule) => judges.includes(rule))).toEqual([])
  })

  it('masks by the owner, and only what is unmasked', () => {
    const masking = PERTURBATIONS.filter(({ name }) => name === 'mask-unmask')
    const lines: unknown[] = []
    const spy = masking.map((each) => ({
      ...each,
      ways: (place: Parameters<Perturbation['ways']>[0]) => {
        lines.push(...each.ways(place))
        return []
      },
    }))
    reportOf(OWN, { perturbations: spy, at: 8 })
    expect(lines).toEqual([['v0 vmbus SINT2=0x100f3', 'v0 vmbus SINT2=0xf3']])
  })
})

describe('a perturbation that is none of these', () => {
  const fake = (lines: readonly string[]): Perturbation => ({
    name: 'fake',
    says: 'something is lost',
    changes: 'nothing',
    allows: [],
    ways: () => [lines],
  })

  it('is found where a flag is cleared behind the guest', () => {
    // SINT2's flags begin 512 bytes into the page; flag 5 is set by step 7, and read by step 9.
    const { findings } = reportOf(OWN, { perturbations: [fake(['poke 0x11200=00'])] })
    const seen = findings.filter(({ step, verdict }) => step > 6 && verdict === 'differs')
    expect(seen.map(({ step }) => step)).toEqual([8, 9])
    expect(seen[0].facts[0]).toMatch(/^step 9 was .*"hex":"20"\}; .*, and is .*"hex":"00"\}/)
  })

  it('is found where a rule reports it, and where the story cannot go on', () => {
    const [found] = reportOf(OWN, { perturbations: [fake(['v0 mshv SIMP=0'])], at: 7 }).findings
    expect(found).toMatchObject({ verdict: 'reported', step: 7, op: 'event.signal' })
    expect(found.facts.join()).toContain('foreign_write (I2) at op 7')
    const [stopped] = reportOf(OWN, { perturbations: [fake(['restore nothing'])], at: 1 }).findings
    expect(stopped).toMatchObject({ verdict: 'stopped', facts: ['there is no snapshot nothing'] })
  })

  it('may lose an edge where that is noted, if it is one that may', () => {
    const lossy = fake(['v0 vmbus SINT2=0x100f3'])
    const document = checkScenario({
      ...OWN,
      partition: { profile: 'kvm-synic', vcpus: 1 },
      steps: ['v0 vmbus SINT2=0xf3 SCONTROL=1', 'route 24:v0.s2', 'v0 SINT2?', 'assert 24', 'take v0'],
    })
    const tallied = (perturbation: Perturbation) =>
      reportOf(document, { perturbations: [perturbation], at: 6 }).tallies
    expect(tallied(lossy)).toMatchObject([{ findings: 1 }])
    expect(tallied({ ...lossy, changes: 'an edge' })).toMatchObject([{ findings: 0 }])
  })

  it('is told once for all the steps where it is the same', () => {
    const text = perturbText(reportOf(OWN, { perturbations: [fake(['restore nothing'])] }))
    expect(text.match(/there is no snapshot/g)).toHaveLength(1)
    expect(text).toMatch(/^ {2}also at {2}steps 2, 3, 4/m)
    expect(text).toMatch(/^ {2}again {4}synicd scenario perturb own --only fake --at 1$/m)
  })
})

describe('what is allowed', () => {
  const theft: Perturbation = {
    name: 'theft',
    says: 'another driver takes the page, before an interrupt is taken',
    changes: 'the story',
    allows: [{ rule: 'foreign_write', because: 'I2: it is' }],
    ways: ({ next }) => (next?.in.op === 'apic.ack' ? [['v0 mshv SIMP=0']] : []),
  }
  const steps = ['v0 vmbus SIMP=0x10001', 'take v0', 'take v0', 'v0 SIMP?', 'take v0']
  const story = { ...OWN, partition: { profile: 'tlfs', vcpus: 1 }, steps }
  const short = { expect: 'clean', steps: steps.slice(0, 2) }
  const variants = { whole: { expect: 'clean' }, one: short, two: short }

  it.each([
    ['before which steps', story, '3  ', '3-4, 6  '],
    [
      'and of which variants',
      { ...story, expect: undefined, variants },
      '5  ',
      '3-4, 6 of whole; 3 of one, two  ',
    ],
  ])('is told, %s', (_what, document, runs, places) => {
    const text = perturbText(reportOf(checkScenario(document), { perturbations: [theft] }))
    expect(text).toContain(`\n  theft    foreign_write  ${runs}   ${places}`)
  })

  it('is nothing where nothing can be put', () => {
    const report = reportOf(checkScenario(story), { perturbations: [theft], at: 1 })
    expect(perturbText(report)).toMatch(/\nnothing was run: none of these perturbations can be put there\n$/)
  })
})

describe('bounds', () => {
  it('leaves out what is beyond the runs, and says so', () => {
    const report = reportOf(OWN, { runsMax: 3 })
    expect(report.runs).toBe(3)
    expect(report.left_out).toBeGreaterThan(0)
    expect(perturbText(report)).toContain(`cut short: ${report.left_out} more runs would follow`)
  })

  it('leaves out variants that are not clean', () => {
    const variants = {
      good: { expect: 'clean' },
      bad: { expect: 'clean', steps: ['v0 mshv SIMP=1', 'take v9 -> ok'] },
    }
    const report = reportOf(checkScenario({ ...OWN, expect: undefined, variants }), { at: 3 })
    expect(report).toMatchObject({ variants: ['good'], skipped: ['bad'] })
  })
})

describe('the command', () => {
  async function synicd(...args: string[]) {
    return told('', ...args)
  }

  const told = (stdin: string, ...args: string[]) =>
    runCommand([scenarioCommand], ['scenario', 'perturb', ...args], { stdin })

  /** The guest frees its slot and looks at it again before its EOM: another's EOM comes too early. */
  const EARLY = `
scenario: early-eom
title: t
source: s
partition: { profile: tlfs, vcpus: 2 }
steps:
  - v1 SIMP=0x20001 SINT2=0xf3 SCONTROL=1
  - post v1 s2 t=1 -> delivered
  - post v1 s2 t=2 -> queued
  - take v1
  - poke 0x20200=00000000
  - take v0
  - { op: mem.read, gpa: 0x20200, len: 4 }
  - v1 EOM=0
  - eoi v1
  - take v1
  - { op: mem.read, gpa: 0x20200, len: 4 }
  - done v1 s2
  - eoi v1
expect: clean
`

  it('ends with 0 where nothing is found, and prints a line a perturbation', async () => {
    const { status, out } = await synicd('silent-windows-kd', '--variant', 'tlfs')
    expect(status).toBe(0)
    for (const { name } of PERTURBATIONS) expect(out).toMatch(new RegExp(`^  ${name} .* 0$`, 'm'))
    expect(out).toMatch(/\nnothing was found\n$/)
  })

  it('ends with 1 where something is, also as JSON', async () => {
    const { status, out } = await told(EARLY, '-', '--json')
    expect(status).toBe(1)
    expect(JSON.parse(out).findings).toMatchObject([
      { step: 11, op: 'mem.read', perturbation: 'foreign-eom', verdict: 'differs' },
    ])
  })

  it.each([
    [['silent-windows-kd', '--variant', 'x'], /there is no variant x; the variants are kvm-synic, /],
    [['silent-windows-kd', '--only', 'x'], /--only x: the perturbations are snapshot-restore, /],
    [['silent-windows-kd', '--at', '0'], /--at 0: must be a step, from 1/],
    [
      ['silent-windows-kd', '--at', '9999'],
      /: at: there is no step 9999: the longest variant, \S+, has (\d+) steps, and \d+ is the end$/m,
    ],
    [
      ['silent-windows-kd', '--variant', 'tlfs', '--at', '9999'],
      /there is no step 9999: there are \d+ steps/,
    ],
    [['kexec-l1vh', '--variant', 'pre-series'], /kexec-l1vh is not clean by itself/],
  ])('refuses %j', async (args, message) => {
    const { status, err } = await synicd(...args)
    expect(status).toBe(2)
    expect(err).toMatch(message)
  })
})
