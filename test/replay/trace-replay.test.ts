/** JSON traces and logs: replayed whole, compared op by op, refused where they are wrong. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { replayFile } from '../../src/replay/replay.js'
import { LISTED_MAX } from '../../src/replay/trace-replay.js'
import { Partition } from '../../src/synic/partition.js'
import { resolveOptions } from '../../src/synic/profile.js'
import { savePartition } from '../../src/synic/save-state.js'
import { HEADER, replayJson, replayTexts, SpyTarget } from '../support/replay.js'

const GOLDEN = join(import.meta.dirname, '../conformance/kvm')
const golden = [...readdirSync(GOLDEN), ...readdirSync(join(GOLDEN, 'ext')).map((name) => join('ext', name))]

describe('golden traces', () => {
  it.each(golden.filter((name) => name.endsWith('.jsonl')))('%s', async (name) => {
    const report = await replayFile(join(GOLDEN, name), { stdin: process.stdin })
    expect(report).toMatchObject({ format: 'trace', differences: 0, complete: true })
    expect(report.format === 'trace' && report.ops > 0 && report.compared === report.ops).toBe(true)
  })
})

const create = { in: { op: 'vcpu.create', vcpu: 0 }, out: { ok: true } }
const write = (value: string) => ({ in: { op: 'msr.write', vcpu: 0, msr: 'SIMP', value }, out: undefined })
const read = (value: string) => ({ in: { op: 'msr.read', vcpu: 0, msr: 'SIMP' }, out: { ok: true, value } })

describe('a difference', () => {
  const trace = [
    HEADER,
    create,
    write('0x1001'),
    write('0x2001'),
    write('0x3001'),
    write('0x4001'),
    read('0x1'),
  ]

  it('is told with its place, its fields and the ops before it on that vCPU', async () => {
    const report = await replayJson([...trace, read('0x2')])
    expect(report).toMatchObject({ ops: 6, compared: 2, differences: 1, complete: false })
    expect(report.listed).toEqual([
      {
        line: 7,
        seq: 6,
        op: { op: 'msr.read', vcpu: 0, msr: 'SIMP' },
        fields: [{ field: 'value', expected: '0x1', actual: '0x4001' }],
        before: [
          { line: 4, seq: 3, op: { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x2001' } },
          { line: 5, seq: 4, op: { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x3001' } },
          { line: 6, seq: 5, op: { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x4001' } },
        ],
      },
    ])
  })

  it('is followed by others when asked to go on, of which a bounded number is listed', async () => {
    const wrong = Array.from({ length: LISTED_MAX + 5 }, () => read('0x9'))
    const report = await replayJson([...trace, ...wrong], { keepGoing: true })
    expect(report).toMatchObject({ differences: LISTED_MAX + 6, complete: true })
    expect(report.listed).toHaveLength(LISTED_MAX)
  })
})

describe('what is replayed', () => {
  it('sends ops in batches', async () => {
    const target = new SpyTarget()
    await replayJson([HEADER, create, ...Array.from({ length: 300 }, () => write('0x1'))], {}, target)
    expect(target.batches).toEqual([0, 256, 45])
  })

  it('takes the machine from the header, and the caller over it', async () => {
    const target = new SpyTarget()
    const header = { ...HEADER, kind: 'guest', vcpus: 2, options: { apicv: true, scontrol_reset: 0 } }
    await replayJson([header], { profile: 'qemu', kind: 'l1vh', options: { scontrol_reset: 1 } }, target)
    expect(target.config).toEqual({
      profile: 'qemu',
      kind: 'l1vh',
      gpaLimit: '0x100000',
      vcpus: 2,
      options: { apicv: true, scontrol_reset: 1 },
    })
  })

  it('needs no header, no recorded results and no wrapping', async () => {
    const target = new SpyTarget()
    const ops = [
      { op: 'vcpu.create', vcpu: 0 },
      { op: 'msr.read', vcpu: 0, msr: 'SCONTROL' },
    ]
    expect(await replayJson(ops, {}, target)).toMatchObject({ ops: 2, compared: 0, differences: 0 })
    expect(target.config).toMatchObject({ profile: 'tlfs', kind: 'guest', gpaLimit: '0x100000000' })
  })

  it('skips blank lines and knows numbers of lines all the same', async () => {
    const report = await replayTexts([
      '',
      JSON.stringify(HEADER),
      '',
      JSON.stringify(create),
      JSON.stringify(read('0x7')),
    ])
    expect(report.listed[0].line).toBe(5)
  })
})

describe('a log that does not begin at creation', () => {
  const partition = new Partition({
    kind: 'guest',
    profile: 'kvm-synic2',
    gpaPages: 256,
    memoryPagesMax: 256,
    options: resolveOptions('kvm-synic2', 'guest', {}),
  })
  const header = { ...HEADER, base_seq: 0 }

  it('begins from a snapshot', async () => {
    const snapshot = savePartition(partition)
    const report = await replayJson([header, { seq: 1, ...create }], { snapshot })
    expect(report).toMatchObject({ ops: 1, differences: 0, profile: undefined })
  })

  it.each([
    [{ ...HEADER, base_seq: 5 }, {}, 't.jsonl:1: the log begins behind op 5, not at creation: give'],
    [header, { snapshot: { ...savePartition(partition), seq: 3 } }, 'the snapshot was taken at op 3'],
    [header, { snapshot: { format: 'other' } }, 'the snapshot cannot be restored: '],
  ])('is refused: %o', async (first, options, why) => {
    await expect(replayJson([first], options)).rejects.toThrow(why)
  })
})

describe('a wrong trace is refused with line and reason:', () => {
  const header = JSON.stringify(HEADER)
  it.each([
    [['{"in":'], 't.jsonl:1: not JSON ('],
    [['[1]'], 't.jsonl:1: a line holds one JSON object'],
    [['{"hello":1}'], 't.jsonl:1: this is no trace: it begins with a header, such as {"profile":"tlfs"}'],
    [['{"type":"/problems/partition-not-found","status":404}'], 't.jsonl:1: this is no trace'],
    [['{"trace":"x","profil":"kvm"}'], 't.jsonl:1: profil: did you mean "profile"?'],
    [['{"profile":"xen"}'], 't.jsonl:1: the header is wrong: profile: '],
    [['{"gpa_limit":"0x123"}'], 't.jsonl:1: the header is wrong: gpa_limit: '],
    [['{"options":{"speed":1}}'], 't.jsonl:1: the header is wrong: options.speed: must be absent'],
    [[header, '{"out":{}}'], 't.jsonl:2: a step is {"in":{op},"out":{result}}: in: '],
    [[header, '{"in":{"op":"fly"}}'], 't.jsonl:2: in.op: must be one of '],
    [[header, '{"in":{}}'], 't.jsonl:2: in.op: must be one of '],
    [[header, '{"in":{"op":"msr.read","vcpu":0,"msr":"SINT99"}}'], 't.jsonl:2: in.msr: must be an MSR'],
    [
      [header, '{"in":{"op":"gsi.route","entries":[{}]}}'],
      't.jsonl:2: in.entries.0.gsi: must be an integer from 0 to 4294967295',
    ],
    [[header, '{"seq":3,"in":{"op":"vcpu.create","vcpu":0}}'], 't.jsonl:2: seq 3 follows seq 0'],
    [[header, JSON.stringify(create), '{"in":{"op":"vcpu.cre'], 't.jsonl:3: not JSON ('],
  ])('%o', async (lines, why) => {
    await expect(replayTexts(lines)).rejects.toThrow(why)
  })
})
