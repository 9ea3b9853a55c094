/** `synicd audit`: what it prints, what it writes, what it ends with. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { auditCommand } from '../../src/cli/commands/audit.js'
import { AuditReport } from '../../src/replay/audit-report.js'
import { ACTOR_FLAGS, COLLISION, eventsOf, FIXED, traceOf } from '../support/audit-story.js'
import { MAIN } from '../support/built.js'
import { runCommand, temporaryFiles } from '../support/command.js'

const SAMPLE = join(import.meta.dirname, '../samples/qemu-seabios-kdnet.kvm-ftrace.txt')
const { folder, file } = temporaryFiles()
const audit = (args: readonly string[], stdin = '') =>
  runCommand([auditCommand], ['audit', ...args], { stdin })

/** As trace-cmd record begins its file (trace-cmd.dat(5)): magic, version, byte order. */
const BINARY = Buffer.from('\x17\x08\x44tracing6\0\0\x08\n\n\xff\xfe', 'latin1')
const text = (lines: readonly string[]) => `${lines.join('\n')}\n`
const trace = text(traceOf(COLLISION))
const collision = file('collision.jsonl', trace)
const events = file('collision.txt', text(eventsOf(COLLISION)))
const fixed = file('fixed.jsonl', text(traceOf(FIXED)))

describe('the table', () => {
  it('shows who did what to whom, and where', async () => {
    const { status, out, err } = await audit([collision])
    expect({ status, err }).toEqual({ status: 1, err: '' })
    expect(out).toMatch(/collision\.jsonl: trace\n11 ops replayed, profile tlfs, kind l1vh\n/)
    expect(out).toMatch(/\nline +seq +severity +vCPU +actor +register +what\n/)
    expect(out).toMatch(
      /\n +6 +5 +error +0 +mshv +SIEFP +mshv writes SIEFP, .* \(vmbus: line 3\) \[I2 foreign_write\]\n/,
    )
    expect(out).toMatch(/\n\d+ errors, \d+ notes; certainty exact; \d+ rules checked, \d+ not checked, .*\n$/)
  })

  it('shows stamps of kernel events', async () => {
    const { status, out } = await audit(['--kind', 'l1vh', ...ACTOR_FLAGS, events])
    expect(status).toBe(1)
    expect(out).toMatch(/\n +5 +12\.100200 +error +0 +mshv +SIEFP +mshv writes SIEFP, .* \(vmbus: line 2\)/)
    expect(out).toContain('  the trace has no event flags: I10 event_flags\n')
  })

  it('has nothing to show of a driver that keeps to its own', async () => {
    const { status, out } = await audit([fixed])
    expect(status).toBe(0)
    expect(out).toMatch(/\n0 errors, 0 notes; certainty exact; /)
    expect(out).not.toContain('severity')
  })

  it('says of the sample what it could not check', async () => {
    const { status, out } = await audit([SAMPLE])
    expect(status).toBe(0)
    expect(out).toContain("  a vCPU's thread is no driver: name one with --actor if you know better: ")
    expect(out).toMatch(/the trace has no contents of message slots: .*I7 waiting_message/)
    expect(out).toMatch(/\n0 errors, \d+ notes?; certainty exact; /)
  })

  it('says what lowers the certainty', async () => {
    const lines = eventsOf(COLLISION)
    const lost = [...lines.slice(0, 4), 'CPU:0 [LOST 7 EVENTS]', ...lines.slice(4)]
    const { status, out } = await audit(['--kind', 'l1vh', ...ACTOR_FLAGS, '-'], text(lost))
    expect(status).toBe(0)
    expect(out).toContain('uncertain: 1 × the kernel lost events while recording (first: line 5)\n')
    expect(out).toMatch(/note .*; uncertain: what the register held before is not in the trace\n/)
  })

  it('says what of it is between processes that nobody mapped, and which flag fits none', async () => {
    const { status, out } = await audit(['--kind', 'l1vh', '--actor', 'kexe=mshv', events])
    expect(status).toBe(0)
    expect(out).toContain('warning: --actor kexe=mshv: no line is of such a process\n')
    expect(out).toMatch(
      /\n0 errors, \d+ notes; certainty lowered; \d+ rules checked, 2 of them not for certain, /,
    )
  })

  it('shows 200 findings, errors first, and counts the others', async () => {
    const write = (i: number) =>
      JSON.stringify({
        op: 'msr.write',
        vcpu: 0,
        msr: 'SIMP',
        value: `0x${i}0000`,
        actor: i === 1 ? 'vmbus' : 'mshv',
      })
    const many = Array.from({ length: 301 }, (_, i) => write(i + 1))
    const { out } = await audit(['-'], text([JSON.stringify({ kind: 'l1vh', vcpus: 1 }), ...many]))
    expect(out.match(/\n +\d+ +\d+ +error /g)).toHaveLength(200)
    expect(out).toMatch(/\nand \d+ more findings; --json lists up to 10000 of each kind\n/)
  })
})

it.each([
  ['standard input', ['-'], trace],
  ['gzip', [file('c.jsonl.gz', gzipSync(trace))], ''],
  [
    'a named format',
    ['--format', 'trace', '--profile', 'tlfs', '--option', 'masked_blocks_messages=true', collision],
    '',
  ],
  ['claims', ['--claims', 'vmbus=SIMP,SIEFP,SINT2,SCONTROL', '--settled', collision], ''],
])('takes %s', async (_what, args, stdin) => {
  expect(await audit(args, stdin)).toMatchObject({ status: 1, err: '' })
})

it.each([
  [[collision], 'trace'],
  [['--kind', 'l1vh', ...ACTOR_FLAGS, events], 'guest'],
  [[SAMPLE], 'host'],
] as const)('reports as JSON: %o', async (args, source) => {
  const { out } = await audit(['--json', ...args])
  expect(AuditReport.parse(JSON.parse(out)).source).toBe(source)
})

const message = z.strictObject({ text: z.string().min(1) })
const Location = z.object({
  physicalLocation: z.strictObject({
    artifactLocation: z.strictObject({ uri: z.string().min(1), index: z.literal(0) }),
    region: z.strictObject({ startLine: z.int().min(1) }),
  }),
})
const level = z.enum(['error', 'note'])
/** What SARIF 2.1.0 requires, and what is written of the rest: its members, strictly. */
const Sarif = z.strictObject({
  $schema: z.url(),
  version: z.literal('2.1.0'),
  runs: z.tuple([
    z.strictObject({
      tool: z.strictObject({
        driver: z.strictObject({
          name: z.literal('synicd'),
          version: z.string(),
          semanticVersion: z.string(),
          rules: z.array(
            z.strictObject({
              id: z.string().regex(/^synicd\/\w+\/[a-z0-9_]+$/),
              name: z.string(),
              shortDescription: message,
              help: message,
            }),
          ),
        }),
      }),
      invocations: z.tuple([
        z.strictObject({
          executionSuccessful: z.literal(true),
          toolExecutionNotifications: z.array(
            z.strictObject({ level: z.enum(['note', 'warning']), message }),
          ),
        }),
      ]),
      artifacts: z.tuple([z.strictObject({ location: z.strictObject({ uri: z.string() }) })]),
      results: z.array(
        z.strictObject({
          ruleId: z.string(),
          ruleIndex: z.int().min(0),
          level,
          message,
          locations: z.tuple([Location.strict()]),
          relatedLocations: z.tuple([Location.extend({ id: z.literal(1), message }).strict()]).optional(),
          partialFingerprints: z.strictObject({ 'synicdFinding/v1': z.string() }),
          properties: z.record(z.string(), z.unknown()),
        }),
      ),
      properties: z.record(z.string(), z.unknown()),
    }),
  ]),
})

describe('--sarif', () => {
  it.each([
    ['a trace', [collision]],
    ['kernel events', ['--kind', 'l1vh', ...ACTOR_FLAGS, events]],
    ['the sample', [SAMPLE]],
    ['processes that nobody mapped', ['--kind', 'l1vh', '--actor', 'kexe=mshv', events]],
  ] as const)('writes SARIF of %s', async (_what, args) => {
    const { out } = await audit(['--sarif', '-', ...args])
    const [{ tool, results }] = Sarif.parse(JSON.parse(out)).runs
    for (const { ruleId, ruleIndex } of results) expect(tool.driver.rules[ruleIndex].id).toBe(ruleId)
    const prints = results.map(({ partialFingerprints }) => partialFingerprints['synicdFinding/v1'])
    expect(new Set(prints).size).toBe(results.length)
  })

  it('names no place on this machine but the recording', async () => {
    const { out } = await audit(['--sarif', '-', '-'], trace)
    expect(out).not.toContain('file:')
    expect(out).not.toContain(join(import.meta.dirname, '../..'))
  })

  it('writes a file beside the table, with both places of a finding', async () => {
    const path = join(folder, 'out.sarif')
    const { status, out } = await audit(['--sarif', path, collision])
    expect(status).toBe(1)
    expect(out).toContain('severity')
    const [{ results }] = Sarif.parse(JSON.parse(readFileSync(path, 'utf8'))).runs
    const [first] = results.filter(({ ruleId }) => ruleId === 'synicd/I2/foreign_write')
    expect(first.locations[0].physicalLocation.region.startLine).toBe(6)
    expect(first.relatedLocations?.[0].physicalLocation.region.startLine).toBe(3)
    expect(first.level).toBe('error')
  })

  it('gives a finding the same fingerprint wherever it stands', async () => {
    const fingerprints = async (lines: string) => {
      const { out } = await audit(['--sarif', '-', '-'], lines)
      return Sarif.parse(JSON.parse(out)).runs[0].results.map(
        ({ partialFingerprints }) => partialFingerprints,
      )
    }
    expect(await fingerprints(trace.replace('\n', '\n\n\n'))).toEqual(await fingerprints(trace))
  })
})

describe('a mistake is one line, and status 2:', () => {
  it.each([
    [[], "missing required argument 'file'"],
    [[join(folder, 'none')], 'cannot read '],
    [[file('text', 'hello\n')], 'no kvm:* or msr:* event'],
    [[file('trace.dat', BINARY)], 'trace.dat: a binary file of trace-cmd; run trace-cmd report on it'],
    [[file('trace.dat.gz', gzipSync(BINARY))], 'trace.dat.gz: a binary file of trace-cmd'],
    [[file('short.dat', BINARY.subarray(0, 10))], 'short.dat: a binary file of trace-cmd'],
    [[file('bad.jsonl', `${trace}{"seq":99}\n`)], 'bad.jsonl:13: '],
    [['--url', 'http://127.0.0.1:1', collision], '--url: the auditor runs in this process'],
    [['--actor', 'vmbus', events], '--actor vmbus: must be written process=actor'],
    [['--claims', 'vmbus=SPAM', events], '--claims "SPAM": is no register'],
    [['--json', '--sarif', '-', collision], '--sarif -: standard output takes one'],
    [['--sarif', join(folder, 'no/such/folder'), collision], '--sarif: cannot write '],
    [['--snapshot', join(folder, 'none'), collision], '--snapshot: cannot read '],
  ])('%o', async (args, why) => {
    const { status, out, err } = await audit(args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^synicd: [^\n]+\n$/)
    expect(err).toContain(why)
  })
})

it('has help with examples', async () => {
  const { status, out } = await audit(['--help'])
  expect(status).toBe(0)
  expect(out).toContain('synicd audit partition.jsonl')
})

describe('the process', () => {
  const run = (...args: readonly string[]) =>
    new Promise<{ status: unknown; out: string; err: string }>((resolve) => {
      execFile(process.execPath, [MAIN, 'audit', ...args], (error, out, err) =>
        resolve({ status: error?.code ?? 0, out, err }),
      )
    })

  it.each([
    ['the collision', [collision], 1],
    ['the fixed driver', [fixed], 0],
    ['no file', [join(folder, 'none')], 2],
  ])('ends with the status of %s', async (_what, args, status) => {
    expect((await run(...args)).status).toBe(status)
  })
})
