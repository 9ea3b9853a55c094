/** `synicd scenario`: what it prints, what it ends with. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { replayCommand } from '../../src/cli/commands/replay.js'
import { scenarioCommand } from '../../src/cli/commands/scenario.js'
import { scenarioLibrary } from '../../src/scenario/library.js'
import { procedureList } from '../../src/scenario/procedures.js'
import { runCommand, temporaryFiles } from '../support/command.js'

const { folder, file } = temporaryFiles()
const synicd = (...args: string[]) => synicdWith('', ...args)

/** With this on standard input. */
const synicdWith = (stdin: string, ...args: string[]) =>
  runCommand([scenarioCommand, replayCommand], args, { stdin })

const scenario = (...args: string[]) => synicd('scenario', ...args)

const OWN = `scenario: own
title: A driver writes what is another's
source: this test
partition: { profile: tlfs, kind: l1vh }
with: { page: 0x10001 }
steps:
  - v0 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1
  - v0 mshv SIMP=$page
`
const own = file('own.yaml', OWN)
const clean = file('clean.yaml', `${OWN}expect: clean\n`)

describe('synicd scenario', () => {
  it('lists the library', async () => {
    const { out } = await scenario('list')
    expect(out).toMatch(/^name +runs +title\n/)
    for (const name of scenarioLibrary().keys()) expect(out).toMatch(new RegExp(`^${name} +\\d+ +`, 'm'))
    const items = JSON.parse((await scenario('list', '--json')).out) as { name: string }[]
    expect(items.map(({ name }) => name)).toEqual([...scenarioLibrary().keys()])
  })

  it('lists procedures', async () => {
    const { out } = await scenario('procedures')
    for (const { name } of procedureList()) expect(out).toMatch(new RegExp(`^${name} `, 'm'))
    for (const { says } of procedureList()) expect(out).toContain(says)
  })

  it.each([
    ['linux.boot', /\n {2}host +true, false +VMBus contacts its host/],
    ['linux.boot', /\n {2}vcpus +a list .* +those that its kernel has/],
    ['linux.crash', /\n {2}vcpus +a list .* +acts on one of them/],
    ['vmbus.resume', /^vmbus.resume: The machine wakes up\n$/],
  ])('says what %s takes: %s', async (name, text) => {
    const { status, out } = await scenario('procedures', name)
    expect(status).toBeUndefined()
    expect(out).toMatch(text)
  })

  it('shows a scenario, which is a file that can be run', async () => {
    const { out } = await scenario('show', 'kexec-l1vh')
    expect(out).toMatch(/^scenario: kexec-l1vh\n/)
    const copy = file('copy.yaml', out)
    expect((await scenario('run', copy)).out).toBe((await scenario('run', 'kexec-l1vh')).out)
  })

  it('runs one way, and tells who did what to whom', async () => {
    const { out } = await scenario('run', 'kexec-l1vh', '--driver', 'mshv=pre-series')
    expect(out).toMatch(/^kexec-l1vh: .*\nsource: .*\n\npre-series \(mshv=pre-series\): \d+ ops, /)
    expect(out).toMatch(/ +mshv +msr\.write +v0\.SIEFP +foreign_write +vmbus/)
    expect(out).toMatch(/\n {2}seq +step +actor +faults +register +value\n/)
    expect(out).not.toContain('\nv4 (')
  })

  it.each(['v4', 'v1'])('lets --driver mshv=%s reach all that the version decides', async (mshv) => {
    const { out } = await scenario('run', 'kexec-l1vh-linux', '--driver', `mshv=${mshv}`)
    expect(out).toMatch(
      new RegExp(`^${mshv} \\(.*: \\d+ ops, 0 violations, 0 faults\\n {2}as expected\\n$`, 'm'),
    )
  })

  it('runs a variant whose parameters are given once more', async () => {
    const { out } = await scenario('run', 'kexec-l1vh', '--variant', 'v4', '--driver', 'mshv=v4')
    expect(out).toBe((await scenario('run', 'kexec-l1vh', '--variant', 'v4')).out)
  })

  it('runs every variant without parameters', async () => {
    const { out } = await scenario('run', 'kexec-l1vh', '--json')
    const variants = Object.keys(scenarioLibrary().get('kexec-l1vh')?.variants ?? {})
    expect((JSON.parse(out) as { variant: string }[]).map(({ variant }) => variant)).toEqual(variants)
  })

  it.each([
    [['run', own], 0, 'unjudged'],
    [['run', clean], 0, 'as expected'],
    [['run', clean, '--with', 'page=0x10001'], 0, 'as expected'],
    [['run', own, '--with', 'page=0x20001'], 0, 'unjudged'],
    [['run', file('odd.yaml', `${OWN}  - v0 SIMP? -> 0x0\n`)], 1, 'NOT as expected'],
  ])('%o ends with %i', async (args, status, word) => {
    const reply = await scenario(...args)
    expect({ status: reply.status, err: reply.err }).toEqual({ status, err: '' })
    expect(reply.out).toMatch(new RegExp(`\\n {2}${word}[^\\n]*\\n$`))
  })

  it('reads standard input', async () => {
    const piped = (...args: string[]) => synicdWith(`${OWN}expect: clean\n`, 'scenario', ...args)
    expect(await piped('run', '-')).toEqual(await scenario('run', clean))
    expect(await piped('show', '-')).toEqual(await scenario('show', clean))
    expect((await piped('perturb', '-', '--only', 'pause-resume', '--at', '2')).status).toBe(0)
    const { status, err } = await synicdWith(`${OWN}  - pots v0\n`, 'scenario', 'run', '-')
    expect({ status, err }).toEqual({
      status: 2,
      err: expect.stringMatching(/^synicd: stdin:9: steps\/2: "pots"/),
    })
  })

  it('takes a value to its last digit', async () => {
    const { out } = await scenario('run', own, '--with', 'page=0x8000000000000001', '--json')
    expect(JSON.parse(out)).toMatchObject([{ params: { page: '0x8000000000000001' } }])
    expect((await scenario('run', own, '--with', 'page=010')).err).toContain('"010" may be octal or decimal')
  })

  it('writes a trace that replays', async () => {
    const path = join(folder, 'own.jsonl')
    await scenario('run', own, '--trace', path)
    expect(JSON.parse(readFileSync(path, 'utf8').split('\n', 1)[0])).toMatchObject({
      trace: 'own',
      base_seq: 0,
    })
    const { status, out } = await synicd('replay', path)
    expect(status).toBe(0)
    expect(out).toContain('5 ops replayed, 5 results compared: 0 differences')
    const of = ['kexec-l1vh', '--trace', join(folder, 'v4.jsonl')]
    expect((await scenario('run', ...of, '--variant', 'v4')).err).toBe('')
  })

  it('runs all of them, a line each', async () => {
    const { status, out, err } = await scenario('run', 'all')
    const runs = [...scenarioLibrary().values()].flatMap(({ variants = { '': {} } }) => Object.keys(variants))
    expect(out.match(/^(?:ok|NO) /gm)).toHaveLength(runs.length)
    expect(out).toMatch(new RegExp(`\\n${scenarioLibrary().size} scenarios, ${runs.length} runs: .*\\n$`))
    expect({ status, err }).toEqual({ status: /^NO /m.test(out) ? 1 : 0, err: '' })
  })
})

describe('a mistake is told, with status 2:', () => {
  const bad = file('bad.yaml', `${OWN}  - post v0 x2 t=1\n  - v0 SIIMP=1\n`)
  it.each([
    [['run', 'nothing'], 'synicd: there is no scenario "nothing"; synicd scenario list lists them\n'],
    [['run', 'kexec-l1hv'], 'synicd: there is no scenario "kexec-l1hv"; did you mean "kexec-l1vh"?\n'],
    [['run', '-'], 'synicd: stdin:1: is empty: a scenario has '],
    [['run', join(folder, 'none.yaml')], 'synicd: cannot read '],
    [['run', bad], `synicd: ${bad}:9: steps/2: "x2" is not understood: post vVCPU sSINT t=TYPE [#TAG]\n`],
    [['run', bad], `synicd: ${bad}:10: steps/3: "SIIMP" must be an MSR`],
    [['run', file('cut.yaml', `${OWN}  - [`)], 'cut.yaml:9: '],
    [['show', bad], `${bad}:9: steps/2`],
    [['run', file('end.yaml', `${OWN}  - restore x\n`)], 'end.yaml:9: steps/2: there is no snapshot x\n'],
    [['run', own, '--with', 'page=on'], 'own.yaml:8: steps/1: "on" must be a u64'],
    [['run', own, '--with', 'size=1'], 'with/size: is no parameter of own; it has page\n'],
    [['run', own, '--with', 'page'], 'synicd: --with page: must be written name=value\n'],
    [['run', 'kexec-l1vh', '--driver', 'mshv=v9'], '"v9" is none of pre-series, v1-patch-4, v1, '],
    [['run', own, '--variant', 'x'], 'own.yaml: there is no variant x; it has none: leave the variant out\n'],
    [
      ['run', 'kexec-l1vh', '--variant', 'v9'],
      'there is no variant v9; the variants are pre-series, v1, v2, v3, v4\n',
    ],
    [
      ['run', 'kexec-l1vh', '--variant', 'v4', '--driver', 'mshv=v1'],
      'with/mshv: "v1" contradicts the variant v4, whose mshv is "v4": leave one of the two out\n',
    ],
    [
      ['run', 'kexec-l1vh', '--variant', 'v4', '--with', 'x=1'],
      'with/x: is no parameter of kexec-l1vh; it has mshv\n',
    ],
    [['run', 'kexec-l1vh', '--trace', 'x'], 'synicd: --trace: choose one with --variant: '],
    [['run', own, '--trace', join(folder, 'no', 'x')], 'synicd: --trace: ENOENT'],
    [['run', 'all', '--with', 'a=1'], 'synicd: all takes no parameters'],
    [['procedures', 'linux.bot'], 'there is no procedure linux.bot; did you mean "linux.boot"?\n'],
    [['run'], "synicd: missing required argument 'name'"],
    [['fly'], "synicd: unknown command 'fly'"],
    [['rnu'], "synicd: unknown command 'rnu'; did you mean run?\n"],
    [['run', 'kexec-r'], 'there is no scenario "kexec-r"; there are kexec-root\n'],
  ])('%o', async (args, why) => {
    const { status, out, err } = await scenario(...args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toContain(why)
    expect(err).toMatch(/^(?:synicd: [^\n]+\n)+$/)
  })
})

describe('help', () => {
  it.each([
    [['--help'], 'synicd scenario run kexec-l1vh --driver mshv=pre-series'],
    [['run', '--help'], 'synicd scenario run mine.yaml --json'],
  ])('%o has an example', async (args, text) => {
    const { status, out } = await scenario(...args)
    expect(status).toBe(0)
    expect(out).toContain(text)
  })
})
