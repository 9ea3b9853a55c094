/** Ops that fail though no step says so: never as expected, and told with the remedy. */
import { describe, expect, it } from 'vitest'
import type { ScenarioReport } from '../../src/api/scenario.js'
import { checkScenario } from '../../src/scenario/document.js'
import { reportText } from '../../src/scenario/report-text.js'
import { runScenario } from '../../src/scenario/run.js'

const PARTITION = { kind: 'l1vh', options: { disabled_write: 'fault' } }
const HEAD = { scenario: 'own', title: 't', source: 's', partition: PARTITION }

function run(steps: readonly unknown[], expectation: unknown, params = {}): ScenarioReport {
  return runScenario(checkScenario({ ...HEAD, with: params, steps, expect: expectation }))[0].report
}

const gp = 'v0 SVERSION=1'
const refused = 'bind 99999'
const ud = { op: 'hypercall', vcpu: 0, control: 0x5c }
const late = [{ run: 'vmbus.up' }, { run: 'vmbus.cleanup_cpu' }, { run: 'vmbus.cleanup_cpu' }]

describe('a failure that nobody announced is told:', () => {
  it.each([
    [
      'a line',
      [gp],
      'steps/0 (v0 SVERSION=1): #GP at op 2 (msr.write)',
      'end the line in "-> gp", or expect faults: 1',
    ],
    ['an op', ['settle', ud], 'steps/1 (hypercall): #UD at op 2 (hypercall)', 'expect faults: 1'],
    [
      'a procedure',
      late,
      `steps/2 (vmbus.cleanup_cpu): #GP at 4 ops, the first is op 23 (msr.write)`,
      'expect faults: 4',
    ],
    ['one that is refused', [refused], 'steps/0 (bind 99999): errno -22', 'expect refused: 1'],
  ])('%s', (_what, steps, what, remedy) => {
    for (const expectation of ['clean', { violations: [] }, { registers: {} }]) {
      const { verdict, unexpected } = run(steps, expectation)
      expect(verdict).toBe('not_as_expected')
      const told = unexpected.filter((each) => each.startsWith(what))
      expect(told).toEqual([expect.stringMatching(/; if that is the point, /)])
      expect(told[0]).toContain(remedy)
    }
  })

  it('each step by itself', () => {
    expect(run([gp, gp, 'v0 SVERSION=2 -> gp'], 'clean').unexpected).toEqual([
      expect.stringMatching(/^steps\/0 .* expect faults: 3$/),
      expect.stringMatching(/^steps\/1 .* expect faults: 3$/),
    ])
  })
})

describe('a failure is announced', () => {
  it.each([
    ['by its line', [`${gp} -> gp`], 'clean'],
    ['by the errno of its line', [`${refused} -> -22`], 'clean'],
    ['by a count of faults', [gp, ud], { faults: 2 }],
    ['by a count of what is refused', [refused], { refused: 1 }],
    [
      'by what a procedure gives',
      [{ run: 'vmm.restore', with: { registers: 'v0.SVERSION=1 v5.SIMP=0' }, gives: -22 }],
      'clean',
    ],
  ])('%s', (_how, steps, expectation) => {
    expect(run(steps, expectation)).toMatchObject({ verdict: 'as_expected', missing: [], unexpected: [] })
  })

  it.each([
    ['faults', [gp], { faults: 2 }, 'faults: 2, not 1'],
    ['what is refused', [], { refused: 1 }, 'refused: 1, not 0'],
  ])('but not %s that do not come', (_what, steps, expectation, missing) => {
    expect(run(steps, expectation).missing).toEqual([missing])
  })

  it('not by what a procedure gives that goes well', () => {
    const [up, down] = late
    expect(
      run([up, down, { ...down, gives: 0 }], { violations: [{ rule: 'disabled_write' }] }),
    ).toMatchObject({
      verdict: 'not_as_expected',
      unexpected: expect.arrayContaining([expect.stringMatching(/^steps\/2 .* expect faults: 4$/)]),
    })
  })
})

it('a message that finds its slot taken has met a fate, and has not failed', () => {
  const steps = ['v0 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1', 'post v0 s2 t=1', 'post v0 s2 t=1']
  const [{ report, trace }] = runScenario(
    checkScenario({ ...HEAD, partition: { profile: 'kvm-synic2' }, steps, expect: { violations: [] } }),
  )
  expect(trace.at(-1)?.out.errno).toBe(-11)
  expect(report.unexpected.filter((each) => /errno/.test(each))).toEqual([])
})

it('the head of the report counts what was refused, where anything was', () => {
  expect(reportText(run([`${refused} -> -22`], 'clean'))).toMatch(
    /^the scenario: 2 ops, .*, 0 faults, 1 refused\n/,
  )
  expect(reportText(run(['settle'], 'clean'))).toMatch(/, 0 faults\n/)
})

it('without an expectation the report says which steps they were, and judges nothing', () => {
  const { report } = runScenario(checkScenario({ ...HEAD, steps: ['settle', gp] }))[0]
  expect(report).toMatchObject({ verdict: 'unjudged', faulted: [{ step: 'steps/1' }] })
})
