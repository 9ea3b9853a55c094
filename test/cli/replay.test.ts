/** `synicd replay`: what it prints, what it ends with. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { replayCommand } from '../../src/cli/commands/replay.js'
import { MAIN } from '../support/built.js'
import { runCommand, temporaryFiles } from '../support/command.js'

const SAMPLE = join(import.meta.dirname, '../samples/qemu-seabios-kdnet.kvm-ftrace.txt')
const GOLDEN = join(import.meta.dirname, '../conformance/kvm/a05_sversion.jsonl')
const { folder, file } = temporaryFiles()
const synicd = (args: readonly string[], stdin = '') => runCommand([replayCommand], args, { stdin })

const golden = readFileSync(GOLDEN, 'utf8')
const wrong = golden.replace('"value":"0x1"', '"value":"0x7"')

describe('synicd replay', () => {
  it('says of the sample what it checked, and that nothing deviates', async () => {
    const { status, out, err } = await synicd(['replay', SAMPLE])
    expect({ status, err }).toEqual({ status: 0, err: '' })
    expect(out).toContain('kvm_hv_synic_set_msr 6, kvm_msr 4')
    expect(out).toContain('2 register reads')
    expect(out).toMatch(/certainty: exact\n4 statements of the trace checked: 0 mismatches\n$/)
  })

  it('says of a trace how much it compared', async () => {
    const { status, out } = await synicd(['replay', GOLDEN])
    expect(status).toBe(0)
    expect(out).toMatch(/10 ops replayed, 10 results compared: 0 differences\n$/)
  })

  it('shows the first difference with its context', async () => {
    const { status, out } = await synicd(['replay', file('wrong.jsonl', wrong)])
    expect(status).toBe(1)
    expect(out).toMatch(
      /wrong\.jsonl:\d+: the result of op \d+ differs\n {2}before {2}line \d+, seq \d+: \{"op"/,
    )
    expect(out).toMatch(/\n {2}value\n {4}expected {2}"0x7"\n {4}actual {4}"0x1"\n/)
    expect(out).toMatch(/1 difference\nstopped at the first difference; --keep-going shows all\n$/)
  })

  it('goes on when told to', async () => {
    const { status, out } = await synicd(['replay', '--keep-going', file('all.jsonl', wrong)])
    expect(status).toBe(1)
    expect(out).toMatch(/10 ops replayed, 10 results compared: 1 difference\n$/)
  })

  it('shows a mismatch of a kernel trace', async () => {
    const text = readFileSync(SAMPLE, 'utf8').replace(
      'msr_read 40000083 = 0xfa1001',
      'msr_read 40000083 = 0x5',
    )
    const { status, out } = await synicd(['replay', file('bad.txt', text)])
    expect(status).toBe(1)
    expect(out).toMatch(
      /bad\.txt:10: mismatch at 1165\.193206 s\n.*msr_read.*\n {2}trace {7}0x5\n {2}simulation {2}0xfa1001/,
    )
    expect(out).toMatch(/: 1 mismatch\n$/)
  })

  it('tells what is uncertain, skipped and not checked', async () => {
    const line = (event: string) => ` q-1 [000] .... 1.000000: ${event}\n`
    const text = ['kvm_msr: msr_read 40000083 = 0x5', 'kvm_msr: msr_read 40000010 = 0x5', 'kvm_fpu: load']
      .map(line)
      .join('')
    const { status, out } = await synicd(['replay', '-'], text)
    expect(status).toBe(0)
    expect(out).toContain('  kvm_fpu 1: an event of no use here')
    expect(out).toContain('not checked\n  1 × VP_RUNTIME: it changes without a write (first: line 2)')
    expect(out).toContain('certainty: lowered\n  2 × no event names')
    expect(out).toContain('1 register taken from the trace')
  })

  it.each([
    ['standard input', ['-'], golden],
    ['gzip', [file('a.jsonl.gz', gzipSync(golden))], ''],
    ['a named format', ['--format', 'trace', GOLDEN], ''],
    [
      'another profile and option',
      ['--profile', 'kvm', '--kind', 'guest', '--option', 'apicv=true', GOLDEN],
      '',
    ],
  ])('takes %s', async (_what, args, stdin) => {
    expect(await synicd(['replay', ...args], stdin)).toMatchObject({ status: 0, err: '' })
  })

  it.each([
    [GOLDEN, { format: 'trace', ops: 10, compared: 10, differences: 0, listed: [], complete: true }],
    [SAMPLE, { format: 'ftrace', source: 'host', mismatch_count: 0, certainty: 'exact' }],
  ])('reports as JSON: %s', async (path, fields) => {
    const { out } = await synicd(['replay', '--json', path])
    expect(JSON.parse(out)).toMatchObject(fields)
  })

  it('lists a bounded number of mismatches', async () => {
    const read = ' q-1 [000] .... 1.000000: kvm_msr: msr_read 40000083 = 0x'
    const lines = Array.from({ length: 150 }, (_, i) => `${read}${i.toString(16)}\n`).join('')
    const { out } = await synicd(['replay', '-'], lines)
    expect(out).toContain('and 49 more mismatches\n')
  })
})

describe('a mistake is one line, and status 2:', () => {
  it.each([
    [['replay'], "missing required argument 'file'"],
    [['replay', '--speed', '9', 'x'], "unknown option '--speed'"],
    [['replay', '--profile', 'xen', 'x'], "option '--profile <name>' argument 'xen' is invalid."],
    [['replay', '--option', 'speed=1', 'x'], '--option speed: is none of'],
    [['replay', join(folder, 'none')], 'cannot read '],
    [['replay', file('empty', '\n\n')], 'the file is empty'],
    [['replay', file('text', 'hello\n')], 'no kvm:* or msr:* event'],
    [['replay', '--url', 'nowhere', 'x'], '--url: "nowhere" is no http'],
    [['replay', '--snapshot', join(folder, 'none'), GOLDEN], '--snapshot: cannot read '],
    [['replay', '--snapshot', file('list', '[]'), GOLDEN], 'a snapshot is one JSON object'],
    [['replay', '--snapshot', file('cut', '{'), GOLDEN], 'not JSON ('],
    [['replay', '--snapshot', file('doc', '{}'), SAMPLE], '--snapshot: kernel events carry no number'],
    [['replay', file('kvm2', '{"profile":"kvm2"}\n')], 'profile: must be one of kvm-synic, '],
    [['fly'], "unknown command 'fly'"],
    [['repaly', 'x'], "unknown command 'repaly'; did you mean replay?"],
    [['replay', '--keep-gong', 'x'], "unknown option '--keep-gong'; did you mean --keep-going?"],
  ])('%o', async (args, why) => {
    const { status, out, err } = await synicd(args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^synicd: [^\n]+\n$/)
    expect(err).toContain(why)
  })
})

describe('help', () => {
  it.each([
    [['--help'], 'synicd replay partition.jsonl'],
    [['replay', '--help'], 'trace-cmd report | synicd replay -'],
    [['--version'], /^\d+\.\d+\.\d+\n$/],
  ])('%o', async (args, text) => {
    const { status, out } = await synicd(args)
    expect(status).toBe(0)
    expect(out).toMatch(text)
  })
})

describe('the process', () => {
  const run = (command: string) =>
    new Promise<{ status: unknown; out: string; err: string }>((resolve) => {
      execFile('sh', ['-c', command], (error, out, err) => resolve({ status: error?.code ?? 0, out, err }))
    })
  const main = `'${process.execPath}' '${MAIN}'`

  it('ends with the status', async () => {
    expect((await run(`${main} replay '${file('w.jsonl', wrong)}'`)).status).toBe(1)
  })

  it('stays quiet when its reader leaves', async () => {
    const many = file('many.jsonl', golden + wrong.split('\n').slice(1).join('\n').repeat(3000))
    const { err } = await run(`${main} replay --keep-going --json '${many}' | head -c 1`)
    expect(err).toBe('')
  })
})
