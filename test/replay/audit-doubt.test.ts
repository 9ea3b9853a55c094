/** What kernel events prove by themselves is an error, and what they leave open is a note with its reason. */
import { describe, expect, it } from 'vitest'
import { auditLines } from '../support/audit-story.js'

/** Lines of a guest kernel: thread, CPU, event. */
type Event = readonly [comm: string, cpu: number, body: string]

const linesOf = (events: readonly Event[]) =>
  events.map(([comm, cpu, body], i) => `  ${comm}-${10 + cpu} [00${cpu}] 1.00${1000 + i}: ${body}`)

/** `line rule` of an error, `line rule?` of a note. */
async function found(events: readonly Event[]): Promise<string[]> {
  const { findings } = await auditLines(linesOf(events), { kind: 'l1vh', actors: ['ms=mshv'] })
  return findings.map(({ line, rule, severity }) => `${line} ${rule}${severity === 'error' ? '' : '?'}`)
}

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
    expect(await found(events)).toEqual(expected)
  })
})
