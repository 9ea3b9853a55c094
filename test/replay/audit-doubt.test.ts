/** What kernel events prove by themselves is an error, and what they leave open is a note with its reason. */
import { describe, expect, it } from 'vitest'
import type { AuditReport } from '../../src/replay/audit-report.js'
import type { Overrides } from '../../src/replay/machine-config.js'
import type { OptionOverrides } from '../../src/synic/profile.js'
import { auditLines } from '../support/audit-story.js'
import { replayLines } from '../support/ftrace.js'

/** Lines of a guest kernel: thread, CPU, event. */
type Event = readonly [comm: string, cpu: number, body: string]

const linesOf = (events: readonly Event[]) =>
  events.map(([comm, cpu, body], i) => `  ${comm}-${10 + cpu} [00${cpu}] 1.00${1000 + i}: ${body}`)

/** `line rule` of an error, `line rule?` of a note. */
const listOf = ({ findings }: AuditReport) =>
  findings.map(({ line, rule, severity }) => `${line} ${rule}${severity === 'error' ? '' : '?'}`)

describe('pages of one driver alone (BZ-03)', () => {
  const BASE_0: Event[] = [
    ['ms', 0, 'read_msr: 40000085, value 0'],
    ['ms', 0, 'write_msr: 40000085, value 1'],
  ]

  it.each<[string, readonly Event[], readonly string[]]>([
    ['a base read as 0 and written back enabled', BASE_0, ['2 page_overlap']],
    [
      'two vCPUs at one address',
      [...BASE_0, ['ms', 1, 'read_msr: 40000085, value 0'], ['ms', 1, 'write_msr: 40000085, value 1']],
      ['2 page_overlap', '4 page_overlap', '4 page_overlap'],
    ],
    ['a base that nobody has read', [['ms', 0, 'write_msr: 40000085, value 1']], ['1 page_overlap?']],
    [
      'an address where there may be no memory',
      [
        ['ms', 0, 'read_msr: 40000085, value 0'],
        ['ms', 0, 'write_msr: 40000085, value fffffffffffff001'],
      ],
      ['2 page_overlap?'],
    ],
  ])('%s', async (_why, events, expected) => {
    const report = await auditLines(linesOf(events), { kind: 'l1vh', actors: ['ms=mshv'] })
    expect(listOf(report)).toEqual(expected)
  })
})

describe('teardown writes that fault because another has disabled the SynIC (BZ-01)', () => {
  const ACTORS = ['vm=vmbus', 'ms=mshv']
  const DISABLED: Event[] = [
    ['vm', 0, 'write_msr: 40000083, value 10001'],
    ['vm', 0, 'write_msr: 40000082, value 11001'],
    ['vm', 0, 'write_msr: 40000092, value f3'],
    ['vm', 0, 'write_msr: 40000080, value 1'],
    ['ms', 0, 'write_msr: 40000080, value 0'],
  ]
  const FAULTING: Event[] = [
    ...DISABLED,
    ['vm', 0, 'write_msr: 40000092, value 100f3 #GP'],
    ['vm', 0, 'write_msr: 40000083, value 0 #GP'],
  ]
  const UNDER = ['write_under_foreign_disable', 'disabled_write']
  const ERRORS = [
    ...['5 foreign_write', '5 rug_pull'],
    ...[6, 7].flatMap((line) => UNDER.map((rule) => `${line} ${rule}`)),
  ]

  it.each<[string, readonly Event[]]>([
    ['both', FAULTING],
    ['one of them, as each line tells', [...FAULTING.slice(0, 6), ['vm', 0, 'write_msr: 40000083, value 0']]],
    ['then a register that was not lost', [...FAULTING, ['vm', 0, 'read_msr: 40000083, value 10001']]],
  ])('stay errors, and no mismatch: %s', async (_why, events) => {
    const report = await auditLines(linesOf(events), { kind: 'l1vh', actors: ACTORS })
    expect(listOf(report)).toEqual(ERRORS)
    expect(report.certainty).toBe('exact')
    const { mismatch_count } = await replayLines(linesOf(events), { kind: 'l1vh' })
    expect(mismatch_count).toBe(0)
  })

  it('are told as by a machine where they fault', async () => {
    const ask = { kind: 'l1vh', actors: ACTORS } as const
    const { findings } = await auditLines(linesOf(FAULTING), ask)
    const other = await auditLines(linesOf(FAULTING), { ...ask, options: { disabled_write: 'fault' } })
    expect(findings).toEqual(other.findings)
    expect(findings[3].text).toMatch(/the write faults and is lost$/)
  })

  it.each<[string, Overrides['kind'], OptionOverrides, string]>([
    ['who says that they do not fault', 'l1vh', { disabled_write: 'audit' }, 'option disabled_write=fault'],
    [
      'an ordinary guest, whose writes never do',
      'guest',
      {},
      'finds nothing wrong with this access to SINT2',
    ],
  ])('differ for %s', async (_who, kind, options, text) => {
    const { mismatches } = await replayLines(linesOf(FAULTING), { kind, options })
    expect(mismatches.map(({ line }) => line)).toEqual([6, 7])
    expect(mismatches[0].explanation).toContain(text)
  })

  it('differ where the machine refuses for good and a line tells of no fault', async () => {
    const lines = linesOf([...DISABLED, ['vm', 0, 'write_msr: 40000083, value 0']])
    const { mismatch_count } = await replayLines(lines, {
      kind: 'l1vh',
      options: { disabled_write: 'fault' },
    })
    expect(mismatch_count).toBe(1)
  })
})
