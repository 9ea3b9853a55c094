/** What an audit finds in a recording, where, by whom; and what it cannot know. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RULES } from '../../src/audit/rules.js'
import { scopeOf } from '../../src/replay/audit-scope.js'
import { FINDINGS_MAX } from '../../src/replay/audit-target.js'
import {
  auditLines,
  COLLISION,
  errorsIn,
  eventsOf,
  FIXED,
  LONG,
  type Step,
  told,
  traceOf,
} from '../support/audit-story.js'
import { KvmTrace } from '../support/kvm-ftrace.js'

const FOLDER = join(import.meta.dirname, '../conformance/kvm')
const GOLDEN = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl'))

describe('the kexec collision of an L1VH', () => {
  /** One line further down in the trace, for its header. */
  const EXPECTED = [
    [5, 'foreign_write mshv/vmbus', 2],
    [5, 'rug_pull mshv/vmbus', 3],
    [6, 'foreign_write mshv/vmbus', 1],
    [6, 'rug_pull mshv/vmbus', 3],
    [7, 'foreign_write mshv/vmbus', 4],
    [8, 'write_under_foreign_disable vmbus/mshv', 7],
    [9, 'write_under_foreign_disable vmbus/mshv', 7],
    [10, 'write_under_foreign_disable vmbus/mshv', 7],
    [11, 'disabled_write vmbus/mshv', 7],
  ] as const
  const shifted = (by: number) => EXPECTED.map(([line, what, other]) => `${line + by} ${what}@${other + by}`)

  it('is told of a trace with both sides and their lines', async () => {
    const report = await auditLines(traceOf(COLLISION))
    expect(told(report)).toEqual(expect.arrayContaining(shifted(1)))
    expect(report).toMatchObject({ source: 'trace', certainty: 'exact', kind: 'l1vh', replayed: 11 })
    expect(report.findings[0]).toMatchObject({
      line: 6,
      seq: 5,
      other_line: 3,
      other_seq: 2,
      register: 'SIEFP',
    })
  })

  it('is told of kernel events alike', async () => {
    const report = await auditLines(eventsOf(COLLISION), { kind: 'l1vh' })
    expect(told(report)).toEqual(expect.arrayContaining(shifted(0)))
    expect(report).toMatchObject({ source: 'guest', certainty: 'exact', errors: told(report).length })
    expect(report.findings[0]).toMatchObject({ line: 5, time: 12.1002, other_line: 2, other_time: 12.10005 })
  })

  it('gives the same findings in both forms', async () => {
    const [trace, events] = await Promise.all([
      auditLines(traceOf(COLLISION)),
      auditLines(eventsOf(COLLISION), { kind: 'l1vh' }),
    ])
    const texts = (report: typeof trace) => errorsIn(report).map(({ vcpu, rule, text }) => [vcpu, rule, text])
    expect(texts(events)).toEqual(texts(trace))
  })

  it('raises no alarm where processes are not said to be drivers', async () => {
    const report = await auditLines(eventsOf(COLLISION), { kind: 'l1vh', actors: [] })
    expect(errorsIn(report)).toEqual([])
    expect(report.findings[0].uncertain).toMatch(/^"(?:modprobe|kworker\/0:1)" is a process/)
    expect(report.not_checked).toContainEqual(expect.objectContaining({ rule: 'foreign_write' }))
    expect(report.checked).toContainEqual(
      expect.objectContaining({ rule: 'rug_pull', uncertain: expect.stringContaining('is no driver') }),
    )
    expect(report.certainty).toBe('lowered')
  })

  it('raises none where nobody is named at all', async () => {
    const report = await auditLines(traceOf(COLLISION, false))
    expect(errorsIn(report).filter(({ rule }) => rule !== 'disabled_write')).toEqual([])
    const why = 'no op of the trace says who acts'
    expect(report.not_checked).toContainEqual({ rule: 'foreign_write', invariant: 'I2', why })
  })

  it('knows other drivers by what they claim', async () => {
    const claims = ['linux=SIMP,SIEFP,SINT2,SCONTROL']
    const actors = ['kworker/0:1=linux', 'mod*=other']
    const report = await auditLines(eventsOf(COLLISION), { actors, claims })
    expect(told(report)).toContain('5 foreign_write other/linux@2')
  })
})

it.each([
  ['a trace', traceOf(FIXED), {}],
  ['kernel events', eventsOf(FIXED), { kind: 'l1vh' }],
] as const)('has nothing to say of the fixed driver in %s', async (_form, lines, ask) => {
  expect((await auditLines(lines, ask)).findings).toEqual([])
})

describe('what KVM did breaks nothing', () => {
  const linesOf = (name: string) => readFileSync(join(FOLDER, name), 'utf8').trim().split('\n')

  it.each(GOLDEN)('%s', async (name) => {
    expect(errorsIn(await auditLines(linesOf(name)))).toEqual([])
  })

  it.each(GOLDEN.filter((_, i) => i % 8 === 0))('nor as kernel events: %s', async (name) => {
    const [header, ...steps] = linesOf(name)
    const trace = new KvmTrace('kvm', Number(BigInt(JSON.parse(header).gpa_limit) >> 12n))
    for (const step of steps) trace.do(JSON.parse(step).in)
    const report = await auditLines(trace.lines, { actors: [] })
    expect(errorsIn(report)).toEqual([])
    expect(report.source).toBe('host')
  })
})

describe('what is missing raises no alarm:', () => {
  const lines = eventsOf(LONG)
  const keyed = (report: Awaited<ReturnType<typeof auditLines>>, kept: readonly string[]) =>
    errorsIn(report).map(({ line, rule }) => `${kept[line - 1]} ${rule}`)
  const audit = async (kept: readonly string[]) => keyed(await auditLines(kept, { kind: 'l1vh' }), kept)
  const strangers = async (kept: readonly string[]) => {
    if (!kept.some((line) => line.includes('_msr:'))) return []
    const whole = await audit(lines)
    expect(whole.length).toBeGreaterThan(10)
    return (await audit(kept)).filter((error) => !whole.includes(error))
  }
  const cuts = lines.map((_, i) => i).filter((i) => i % 3 === 1)

  it('the beginning', async () => {
    for (const at of cuts) expect(await strangers(lines.slice(at))).toEqual([])
  })

  it('the end', async () => {
    for (const at of cuts) expect(await strangers(lines.slice(0, at))).toEqual([])
  })

  it('lines that the kernel says it lost', async () => {
    for (const from of cuts) {
      for (const length of [1, 3, 8, 20, 40]) {
        const lost = `CPU:0 [LOST ${length} EVENTS]`
        const kept = [...lines.slice(0, from), lost, ...lines.slice(from + length)]
        expect(await strangers(kept)).toEqual([])
      }
    }
  })

  it('a teardown among lost lines, before another bring-up', async () => {
    const up = COLLISION.slice(0, 4)
    const other: Step[] = [
      ['mshv', 0, 'SCONTROL', 1],
      ['mshv', 0, 'SCONTROL', 0],
    ]
    const kept = [...eventsOf(up), 'CPU:0 [LOST 4 EVENTS]', ...eventsOf([...other, ...up])]
    const known = (await audit(kept)).filter((error) => !error.endsWith('foreign_write'))
    expect(known).toEqual([])
  })

  it.each([
    ...['40000080', '40000082', '40000083', '40000090', '40000092', '40000095'].map((msr) => `: ${msr},`),
    'read_msr',
    'write_msr',
    '[000]',
    '[001]',
    'kworker',
    'modprobe',
  ])('all lines with %s', async (what) => {
    expect(await strangers(lines.filter((line) => !line.includes(what)))).toEqual([])
  })
})

describe('a flag that does nothing is told:', () => {
  const idle = (pair: string) => `--actor ${pair}: no line is of such a process`
  const noRole = (name: string, role: string) => `"${name}" is no driver of the kind's table, "${role}" is`

  it.each([
    ['all of use', { actors: ['kworker/*=vmbus', 'modprobe=mshv'] }, []],
    ['a process nobody is', { actors: ['kworker/*=vmbus', 'modrpobe=mshv'] }, [idle('modrpobe=mshv')]],
    ['a beginning no process has', { actors: ['kwroker*=vmbus', 'modprobe=mshv'] }, [idle('kwroker*=vmbus')]],
    ['a beginning behind a longer one', { actors: ['kw*=other', 'kworker/0*=vmbus', 'modprobe=mshv'] }, []],
    [
      "a driver's name in other letters",
      { actors: ['kworker/*=VMBus', 'modprobe=mshv'] },
      [noRole('VMBus', 'vmbus')],
    ],
    ['the same in claims', { claims: ['MSHV=SINT0'] }, [noRole('MSHV', 'mshv')]],
    ['no flags', { actors: [] }, []],
  ] as const)('%s', async (_what, ask, expected) => {
    const report = await auditLines(eventsOf(COLLISION), { kind: 'l1vh', ...ask })
    expect(report.warnings).toEqual(expected)
  })

  it('--actor with a trace, whose ops name their actors, in letters of their own', async () => {
    const lines = traceOf(COLLISION).map((line) => line.replaceAll('"vmbus"', '"VMBUS"'))
    const { warnings } = await auditLines(lines)
    expect(warnings).toEqual([
      expect.stringMatching(/^--actor: it is for kernel events/),
      noRole('VMBUS', 'vmbus'),
    ])
    expect((await auditLines(traceOf(COLLISION), { actors: [] })).warnings).toEqual([])
  })
})

describe('certainty', () => {
  const moved = traceOf(COLLISION)
  moved[2] = JSON.stringify({ ...JSON.parse(moved[2]), out: { ok: false, fault: 'gp' } })

  it('is lowered where the machine went another way, and what follows is a note', async () => {
    const report = await auditLines(moved)
    expect(errorsIn(report)).toEqual([])
    expect(report.notes).toBeGreaterThan(8)
    expect(report.findings[0].uncertain).toBe('the machine went another way at line 3')
    expect(report).toMatchObject({ certainty: 'lowered', uncertain: [{ count: 1, first_line: 3 }] })
  })

  it('keeps what was found before that', async () => {
    const wrong = traceOf(COLLISION)
    wrong[9] = JSON.stringify({ ...JSON.parse(wrong[9]), out: { ok: false, fault: 'gp' } })
    const lines = errorsIn(await auditLines(wrong)).map(({ line }) => line)
    expect([...new Set(lines)]).toEqual([6, 7, 8, 9])
  })

  it('does not take a register from before the recording for a foreign one', async () => {
    const steps: Step[] = [
      ['vmbus', 0, 'SIEFP', 0x1_1001],
      ['mshv', 0, 'SIMP', 0x1_0001],
    ]
    const report = await auditLines(eventsOf(steps), { kind: 'l1vh' })
    expect(errorsIn(report)).toEqual([])
    const why = 'what the register held before is not in the trace'
    expect(report.findings).toContainEqual(expect.objectContaining({ rule: 'foreign_write', uncertain: why }))
  })
})

describe('scope', () => {
  it.each(['host', 'guest'] as const)('says of every rule why a %s trace cannot tell', (source) => {
    const { checked, notChecked } = scopeOf(source, { hasActors: true, settled: true, found: new Set() })
    expect(checked.length + notChecked.length).toBe(RULES.length + 1)
    expect(notChecked.filter(({ why }) => why.startsWith('nobody has said'))).toEqual([])
  })

  it.each([
    ['kernel events', eventsOf(COLLISION), { kind: 'l1vh' }],
    ['kernel events that nobody mapped', eventsOf(COLLISION), { kind: 'l1vh', actors: [] }],
    ['kernel events half mapped', eventsOf(COLLISION), { kind: 'l1vh', actors: ['kworker*=vmbus'] }],
    ['kernel events, late', eventsOf(COLLISION).slice(4), { kind: 'l1vh' }],
    ['a trace', traceOf(COLLISION), {}],
    ['a trace without actors', traceOf(COLLISION, false), {}],
    ['a trace, whole', traceOf(FIXED), { settled: true }],
  ] as const)('says of each rule once whether it was checked: %s', async (_form, lines, ask) => {
    const report = await auditLines(lines, ask)
    const checked = report.checked.map(({ rule }) => rule)
    const all = [...checked, ...report.not_checked.map(({ rule }) => rule)]
    expect(all).toHaveLength(new Set(all).size)
    expect(report.findings.filter(({ rule }) => !checked.includes(rule))).toEqual([])
    const isUncertain = report.findings.some(({ uncertain }) => uncertain !== undefined)
    if (isUncertain) expect(report.certainty).toBe('lowered')
  })

  it('judges the end of a trace only when it is said to be whole', async () => {
    const open = await auditLines(traceOf(FIXED))
    expect(open.not_checked.map(({ rule }) => rule)).toContain('liveness')
    const settled = await auditLines(traceOf(FIXED), { settled: true })
    expect(settled.not_checked.map(({ rule }) => rule)).not.toContain('liveness')
    expect(settled.errors).toBe(0)
  })

  it('tells of a message that waits for nobody, at the end of a whole trace', async () => {
    const header = JSON.stringify({ profile: 'tlfs', vcpus: 1 })
    const steps: readonly object[] = [
      { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x10001' },
      { op: 'msr.write', vcpu: 0, msr: 'SINT2', value: '0xf3' },
      { op: 'msr.write', vcpu: 0, msr: 'SCONTROL', value: '0x1' },
      { op: 'message.post', vcpu: 0, sint: 2, type: '0x1', hex: '01' },
      { op: 'vcpu.halt', vcpu: 0 },
    ]
    const lines = [header, ...steps.map((step) => JSON.stringify(step))]
    const open = await auditLines(lines)
    const settled = await auditLines(lines, { settled: true })
    expect(settled.findings.length).toBeGreaterThanOrEqual(open.findings.length)
    expect(settled.findings.every(({ line }) => line <= lines.length)).toBe(true)
  })
})

it('remembers the lines of a bounded number of ops, and takes nothing older for certain', async () => {
  const trace = await auditLines(traceOf(COLLISION), { placesMax: 1 })
  expect(errorsIn(trace).length).toBeGreaterThan(8)
  expect(errorsIn(trace)[0].other_line).toBeUndefined()
  const events = await auditLines(eventsOf(COLLISION), { kind: 'l1vh', placesMax: 1 })
  expect(events.findings[0]).toMatchObject({ severity: 'note', uncertain: 'the other side is too far back' })
})

it('keeps a bounded number of findings, and counts the others', async () => {
  const write = (actor: string, value: string) =>
    JSON.stringify({ op: 'msr.write', vcpu: 0, msr: 'SIMP', value, actor })
  const many = Array.from({ length: FINDINGS_MAX + 500 }, (_, i) =>
    write('mshv', i % 2 === 0 ? '0x20000' : '0x30000'),
  )
  const header = JSON.stringify({ profile: 'tlfs', kind: 'l1vh', vcpus: 1 })
  const report = await auditLines([header, write('vmbus', '0x10000'), ...many])
  expect(errorsIn(report)).toHaveLength(FINDINGS_MAX)
  expect(report.not_listed.errors).toBe(500)
  expect(report.errors).toBe(FINDINGS_MAX + 500)
})
