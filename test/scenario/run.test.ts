/** Runs: steps and their results, parameters and variants, snapshots, expectations, bounds. */
import { describe, expect, it } from 'vitest'
import type { ScenarioReport } from '../../src/api/scenario.js'
import { checkScenario } from '../../src/scenario/document.js'
import { OPS_MAX, SNAPSHOTS_MAX } from '../../src/scenario/limits.js'
import { reportText } from '../../src/scenario/report-text.js'
import { choose, runChoice, runScenario } from '../../src/scenario/run.js'

const HEAD = { scenario: 'own', title: 't', source: 's', partition: { profile: 'tlfs', kind: 'l1vh' } }
const UP = ['v0 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1']

function run(part: object, params?: Record<string, string>): ScenarioReport[] {
  return runScenario(checkScenario({ ...HEAD, ...part }), params).map(({ report }) => report)
}

const verdictOf = (part: object) => run(part)[0]

describe('a step', () => {
  it.each([
    ['v0 SIMP? -> 0x10001'],
    ['v0 SIMP? -> ok'],
    ['v0 SVERSION=1 -> gp'],
    ['take v0 -> vector -1'],
    ['post v0 s2 t=1 #A -> delivered'],
    ['v7 SIMP? -> -22'],
    ['hc v0 post c9 t=1 -> status 18'],
  ])('gives what it says: %s', (line) => {
    expect(verdictOf({ steps: [...UP, line], expect: {} })).toMatchObject({ unexpected: [] })
  })

  it.each(['v0 SIMP? -> 0x1', 'v0 SIMP? -> gp', 'take v0 -> vector 0xf3', 'post v0 s2 t=1 -> queued'])(
    'is told if it does not: %s',
    (line) => {
      const { verdict, unexpected } = verdictOf({ steps: [...UP, line] })
      expect({ verdict, unexpected }).toEqual({
        verdict: 'not_as_expected',
        unexpected: [expect.stringMatching(`^${line.replace('?', '\\?')}: {"ok":`)],
      })
    },
  )

  it('runs procedures, and tells one that fails or returns something else', () => {
    const one = (step: object) => verdictOf({ steps: [{ run: 'vmbus.up' }, step], expect: {} }).unexpected
    const fails = { run: 'mshv.up', with: { version: 'v4', fails_at: 1 } }
    expect(one({ run: 'mshv.up' })).toEqual([])
    const [told] = one(fails)
    expect(told).toBe('steps/1: mshv.up gives -14; if that is the point, say so: gives: -14')
    expect(one({ ...fails, gives: -14 })).toEqual([])
    expect(one({ run: 'mshv.up', gives: -16 })).toEqual(['steps/1: mshv.up gives 0'])
  })

  it('clears one flag as a guest does', () => {
    const steps = ['v0 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1', 'signal v0 s2 f9', 'clear v0 s2 f9']
    const { trace } = runScenario(checkScenario({ ...HEAD, steps }))[0]
    expect(trace.at(-1)).toMatchObject({
      in: { op: 'mem.cas', expect: '0x2', value: '0x0' },
      out: { value: '0x2' },
    })
  })
})

describe('a snapshot', () => {
  it('is gone back to, and the trace has only what led to the end', () => {
    const steps = [...UP, 'snap up', 'v0 SIMP=0', 'v0 SIMP? -> 0x0', 'restore up', 'v0 SIMP? -> 0x10001']
    const [{ report, trace }] = runScenario(checkScenario({ ...HEAD, steps }))
    expect(report.unexpected).toEqual([])
    expect(trace.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
    expect(report.ops).toBe(7)
  })

  it.each([
    [['settle', 'restore up'], 'steps/1: there is no snapshot up'],
    [Array.from({ length: SNAPSHOTS_MAX + 1 }, (_, i) => `snap s${i}`), `steps/${SNAPSHOTS_MAX}: `],
  ])('that cannot be is told: %o', (steps, why) => expect(() => run({ steps })).toThrow(why))
})

it('says of each finding about liveness where it was judged', () => {
  const steps = [...UP, 'post v0 s2 t=1', 'take v0', 'settle', 'post v0 s2 t=1']
  const [{ report }] = runScenario(checkScenario({ ...HEAD, steps }))
  const served = report.violations.filter(({ rule }) => rule === 'end_of_interrupt')
  expect(served.map(({ seq, op }) => [seq, op])).toEqual([
    [6, 'settle'],
    [7, undefined],
  ])
  expect(reportText(report)).toMatch(/ 6 +settle .*\n.* 7 +at the end /)
})

describe('parameters', () => {
  const steps = [...UP, 'v0 mshv SIMP=$value']
  const scenario = {
    with: { value: '0x10001' },
    steps,
    variants: {
      same: { expect: 'clean' },
      gone: {
        with: { value: '0x0' },
        expect: { violations: [{ rule: 'foreign_write', severity: 'error' }] },
      },
    },
  }
  const names = (params?: Record<string, string>) =>
    run(scenario, params).map(({ variant, verdict }) => [variant, verdict])

  it('choose a variant, or none; without them every one is run', () => {
    expect(names().map(([variant]) => variant)).toEqual(['same', 'gone'])
    expect(names({ value: '0x0' })[0][0]).toBe('gone')
    expect(names({})[0][0]).toBe('same')
    expect(names({ value: '0x20001' })).toEqual([['', 'unjudged']])
  })

  it('are those of the scenario, and fit its steps', () => {
    expect(() => names({ valeu: '1' })).toThrow('with/valeu: is no parameter of own; it has value')
    expect(() => names({ value: 'on' })).toThrow('steps/1: "on" must be a u64')
    const own = { with: { a: 1 }, variants: { one: { steps, expect: 'clean', with: { value: '0x0' } } } }
    expect(() => run(own, { value: '0x1' })).toThrow('with: no variant is like that; the variants are one')
  })

  it('that change nothing leave the expectation', () => {
    const plain = {
      with: { value: '0x10001' },
      steps: [...UP, 'v0 vmbus SIMP=$value'],
      expect: { faults: 0 },
    }
    expect(run(plain, { value: '0x10001' })[0].verdict).not.toBe('unjudged')
    expect(run(plain, { value: '0x20001' })[0].verdict).toBe('unjudged')
  })
})

describe('an expectation', () => {
  const steps = [...UP, 'v0 mshv SIMP=0x0', 'v0 vmbus SVERSION=1 -> gp']
  const foreign = { rule: 'foreign_write', actor: 'mshv', other: 'vmbus', register: 'SIMP' }
  const all = run({ steps })[0].violations.filter(({ severity }) => severity === 'error')
  const patterns = all.map(({ rule }) => ({ rule }))

  it.each([
    [{ violations: patterns, faults: 1 }, []],
    [{ violations: [foreign, ...patterns], registers: { 'v0.SIMP': 0, SINT2: '0xf3' } }, []],
    [{ violations: [{ ...foreign, times: 2 }, ...patterns] }, [/foreign_write.*: 2 times, not 1$/]],
    [{ violations: [{ rule: 'slot_leak' }, ...patterns] }, [/^rule slot_leak: at least once, not 0$/]],
    [{ violations: patterns, faults: 0 }, [/^faults: 0, not 1$/]],
    [{ violations: patterns, registers: { SIMP: 1 } }, [/^SIMP = 0x1, not 0x0$/]],
  ])('%o misses %o', (expectation, missing) => {
    const report = verdictOf({ steps, expect: expectation })
    expect(report.missing).toEqual(missing.map((each) => expect.stringMatching(each)))
    expect(report.unexpected).toEqual([])
    expect(report.verdict).toBe(missing.length === 0 ? 'as_expected' : 'not_as_expected')
  })

  it('of nothing tells every error', () => {
    expect(verdictOf({ steps, expect: 'clean' }).unexpected).toHaveLength(all.length)
  })

  it('is not needed', () => expect(verdictOf({ steps }).verdict).toBe('unjudged'))
})

describe('a report', () => {
  it('says which op it was, and which ops faulted', () => {
    const [report] = run({ steps: [...UP, 'v0 mshv SIMP=0x0', 'v0 vmbus SVERSION=0x7'] })
    expect(report.violations.find(({ rule }) => rule === 'foreign_write')).toMatchObject({
      seq: 5,
      op: 'msr.write',
    })
    expect(report.faulted).toEqual([
      {
        seq: 6,
        step: 'steps/2',
        op: 'msr.write',
        vcpu: 0,
        register: 'SVERSION',
        value: '0x7',
        actor: 'vmbus',
      },
    ])
    const text = reportText(report)
    expect(text).toMatch(/^the scenario: 6 ops, \d+ violations, 1 fault\n {2}seq {2}actor/)
    expect(text).toMatch(/\n {2}5 +mshv +msr\.write +v0\.SIMP +foreign_write +vmbus/)
    expect(text).toMatch(/\n {2}6 +steps\/2 +vmbus +msr\.write +v0\.SVERSION +0x7\n/)
  })

  it('is the same each time', () => {
    const steps = [{ run: 'vmbus.up' }, { run: 'mshv.up' }, { run: 'vmbus.cleanup_cpu' }]
    expect(run({ steps })).toEqual(run({ steps }))
  })
})

describe('a run is bounded', () => {
  it('in ops', () => {
    const steps = [{ run: 'ipxe.wait', with: { polls: 1e9 } }]
    expect(() => run({ steps })).toThrow(`steps/0: more than ${OPS_MAX} ops`)
  })

  it('in bytes of results', () => {
    const steps = Array(400).fill({ op: 'mem.read', gpa: 0, len: 65_536 })
    expect(() => run({ steps })).toThrow(/steps\/\d+: results of more than \d+ bytes/)
  })

  it('in violations', () => {
    const steps = [
      ...UP,
      ...Array(9000).fill(['v0 mshv SIMP=0x20001', 'v0 mshv SIMP=0x0']).flat().slice(0, 9999),
    ]
    expect(() => run({ steps: steps.slice(0, 10_000) })).toThrow(/more than 10000 violations/)
  })
})

it('tells how far it is, every thousand ops', () => {
  const document = checkScenario({
    scenario: 'own',
    title: 't',
    source: 's',
    steps: Array.from({ length: 2500 }, () => 'advance 1'),
    expect: 'clean',
  })
  const told: number[] = []
  const [choice] = choose(document)
  const { report } = runChoice(document, choice, (ops) => told.push(ops))
  expect([report.ops, told]).toEqual([2501, [1000, 2000]])
})
