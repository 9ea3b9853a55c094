/** A recording that begins in the middle: what it proves, what it makes likely, and no false alarm. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AuditReport } from '../../src/replay/audit-report.js'
import { auditLines, COLLISION, eventsOf, FIXED, LONG, type Step, told } from '../support/audit-story.js'
import { holds } from '../support/property.js'

const late = (steps: readonly Step[], from: number) =>
  auditLines(eventsOf(steps).slice(from), { kind: 'l1vh' })
/** As Linux goes about it: each register is read before it is written. */
const withReads = (steps: readonly Step[]): string[] => {
  const all = eventsOf(steps.flatMap((step): Step[] => [[step[0], step[1], step[2]], step]))
  return all.slice(2 * 4)
}
const found = ({ findings }: AuditReport) =>
  findings.map(({ line, rule, other_line, uncertain }) => [line, rule, other_line, uncertain])

const HELD_BEFORE = 'what the register held before is not in the trace'
const WAS_IT_ON = 'whether the SynIC was on is not in the trace'

describe('the kexec collision, recorded from its first teardown on', () => {
  it('raises no alarm, and says why each finding may be none', async () => {
    const report = await late(COLLISION, 4)
    expect(found(report)).toEqual([
      [1, 'foreign_write', undefined, HELD_BEFORE],
      [2, 'foreign_write', undefined, HELD_BEFORE],
      [3, 'foreign_write', undefined, HELD_BEFORE],
      [4, 'write_under_foreign_disable', 3, HELD_BEFORE],
      [4, 'disabled_write', 3, HELD_BEFORE],
      [5, 'write_under_foreign_disable', 3, WAS_IT_ON],
      [5, 'disabled_write', 3, WAS_IT_ON],
      [6, 'write_under_foreign_disable', 3, WAS_IT_ON],
      [6, 'disabled_write', 3, WAS_IT_ON],
      [7, 'disabled_write', 3, WAS_IT_ON],
    ])
    expect(report).toMatchObject({ errors: 0, certainty: 'lowered' })
    expect(report.findings.map(({ text }) => text)).toContain('mshv writes SCONTROL, which belongs to vmbus')
  })

  it('counts the lines behind each doubt', async () => {
    const { uncertain } = await late(COLLISION, 4)
    expect(uncertain).toEqual([
      { what: HELD_BEFORE, count: 4, first_line: 1 },
      { what: WAS_IT_ON, count: 6, first_line: 1 },
    ])
  })

  it('proves what its reads tell of the time before', async () => {
    const report = await auditLines(withReads(COLLISION), { kind: 'l1vh' })
    expect(told(report)).toEqual([
      '2 foreign_write mshv/vmbus@undefined',
      '4 foreign_write mshv/vmbus@undefined',
      '6 foreign_write mshv/vmbus@undefined',
      '8 write_under_foreign_disable vmbus/mshv@6',
      '8 disabled_write vmbus/mshv@6',
      '10 write_under_foreign_disable vmbus/mshv@6',
      '10 disabled_write vmbus/mshv@6',
      '12 write_under_foreign_disable vmbus/mshv@6',
      '12 disabled_write vmbus/mshv@6',
      '14 disabled_write vmbus/mshv@6',
    ])
    expect(report.certainty).toBe('lowered')
  })

  it('proves no driver a culprit whose victim no line shows', async () => {
    const lines = eventsOf(COLLISION).slice(0, 7)
    const mshv = lines.slice(4)
    const reads = withReads(COLLISION).slice(0, 6)
    for (const kept of [mshv, reads]) {
      const report = await auditLines(kept, { kind: 'l1vh' })
      expect(report.errors).toBe(0)
      expect(report.notes).toBe(3)
      expect(report.findings.filter(({ uncertain }) => uncertain === undefined)).toEqual([])
    }
  })

  it('knows of a driver by --actor before its first line', async () => {
    const steps: Step[] = [
      ['mshv', 0, 'SIMP'],
      ['mshv', 0, 'SIMP', 0x1_0001],
      ['vmbus', 0, 'SINT2'],
    ]
    expect(told(await auditLines(eventsOf(steps), { kind: 'l1vh' }))).toEqual([
      '2 foreign_write mshv/vmbus@undefined',
    ])
  })
})

describe('the fixed driver, recorded late', () => {
  it.each(FIXED.map((_, i) => i).filter((i) => i > 0))(
    'from line %i on has nothing to be told',
    async (from) => {
      const report = await late(FIXED, from)
      expect(report.errors).toBe(0)
      expect(report.findings.filter(({ uncertain }) => uncertain === undefined)).toEqual([])
    },
  )

  it('is silent from its teardown on, and does not call that certain', async () => {
    const report = await late(FIXED, 6)
    expect(report.findings).toEqual([])
    expect(report.certainty).toBe('lowered')
  })
})

it.each([
  ['by CONFIG', ['  stimer-9 [000] 1.000000: write_msr: 400000b0, value 1001'], 1],
  ['by a count behind it', eventsOfTimer('400000b0, value 1008', '400000b1, value 64'), 1],
  ['by a count alone', eventsOfTimer('400000b1, value 64'), 0],
] as const)('a timer without a vector is seen in what is written: %s', async (_how, lines, errors) => {
  const report = await auditLines(lines, { actors: ['stimer=timer'] })
  expect(report.errors).toBe(errors)
})

function eventsOfTimer(...writes: readonly string[]): string[] {
  return writes.map((write, i) => `  stimer-9 [000] 1.00000${i}: write_msr: ${write}`)
}

it('a driver coming up again on what another left off is not said to be torn down', async () => {
  const steps: Step[] = [
    ['mshv', 0, 'SCONTROL'],
    ['mshv', 0, 'SCONTROL', 1],
    ['mshv', 0, 'SCONTROL', 0],
    ...COLLISION.slice(0, 3).flatMap((step): Step[] => [[step[0], step[1], step[2]], step]),
  ]
  const report = await auditLines(eventsOf(steps), { kind: 'l1vh' })
  expect(told(report).filter((line) => !line.includes('foreign_write mshv'))).toEqual([])
})

it('however late it begins, what is found is found in the whole too, or marked uncertain', async () => {
  const stories = [COLLISION, FIXED, LONG].map((steps) => eventsOf(steps))
  const key = (lines: readonly string[]) => (each: AuditReport['findings'][number]) =>
    `${lines[each.line - 1]} ${each.rule} ${each.severity}`
  const cut = fc.tuple(fc.nat(stories.length - 1), fc.nat(1000))
  const run = fc.asyncProperty(cut, async ([story, at]) => {
    const lines = stories[story] ?? []
    const kept = lines.slice(at % lines.length)
    if (!kept.some((line) => line.includes('_msr'))) return
    const [whole, part] = await Promise.all([
      auditLines(lines, { kind: 'l1vh' }),
      auditLines(kept, { kind: 'l1vh' }),
    ])
    const known = new Set(whole.findings.map(key(lines)))
    const certain = part.findings.filter(({ uncertain }) => uncertain === undefined)
    expect(certain.map(key(kept)).filter((each) => !known.has(each))).toEqual([])
    if (part.certainty === 'exact') expect(certain).toHaveLength(part.findings.length)
  })
  await holds(run, 60)
})
