/** `synicd load` against a running server: its figures, how it ends, how it refuses. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { loadCommand } from '../../src/cli/commands/load.js'
import { SynicdClient } from '../../src/client/index.js'
import { MAIN } from '../support/built.js'
import { runCommand } from '../support/command.js'

const running = new Set<ChildProcessWithoutNullStreams>()
let url = ''

function start(...args: string[]): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [MAIN, ...args])
  running.add(child)
  return child
}

/** A server that listens, and its base address. */
async function serve(...flags: string[]) {
  const child = start('serve', '--log-level', 'silent', '--port', '0', '--json', ...flags)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: JSON.parse(line.toString()).address as string }
}

const synicd = (args: readonly string[], { isTTY = false } = {}) =>
  runCommand([loadCommand], ['load', ...args], { isTTY })

const count = z.int().min(0)
const some = z.int().min(1)
const latency = z.strictObject({ count, p50: count, p99: count, p99_9: count, max: count })
const counts = z.strictObject({
  ops: count,
  messages: count,
  events: count,
  registers: count,
  batches: count,
  notifications: count,
})
const Report = z.strictObject({
  url: z.string(),
  plan: z.record(z.string(), z.unknown()),
  ended: z.enum(['time', 'interrupted', 'broken']),
  error: z.string().optional(),
  warmup_seconds: z.number(),
  measured_seconds: z.number().positive(),
  per_second: counts,
  counts,
  latency_us: z.strictObject({ batch: latency, delivery: latency }),
  messages: z.strictObject({ posted: count, seen: count, lost: count, in_doubt: count, busy: count }),
  failed: count,
  first_failure: z.string().optional(),
  gaps: count,
  problems: z.array(z.strictObject({ code: z.string(), detail: z.string(), count: some })),
  partitions_left: z.array(z.string()),
})

const SMALL = ['--guests', '2', '--harnesses', '1', '--watchers', '2', '--duration', '1s']

const partitions = async (at = url) => (await new SynicdClient(at).call.listPartitions()).body.items

/** Waits until a load is under way, well behind its set-up. */
async function underWay(at: string): Promise<void> {
  await expect.poll(async () => (await partitions(at))[0]?.seq ?? 0).toBeGreaterThan(500)
}

beforeAll(async () => {
  url = (await serve()).url
})
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
})

describe('synicd load', () => {
  it.each(['bin', 'json'])('tells its figures as JSON, by synic.v1.%s', async (protocol) => {
    const { status, out, err } = await synicd([url, ...SMALL, '--json', '--protocol', protocol])
    const report = Report.parse(JSON.parse(out))
    expect({ status, err, ended: report.ended, warmup: report.warmup_seconds }).toEqual({
      status: 0,
      err: '',
      ended: 'time',
      warmup: 0.1,
    })
    expect(report.plan).toMatchObject({ guests: 2, protocol, mix: { messages: 8, events: 1, registers: 1 } })
    expect(report.messages).toMatchObject({ seen: report.messages.posted, lost: 0, in_doubt: 0 })
    expect([report.failed, report.problems]).toEqual([0, []])
    for (const figures of [report.counts, report.per_second, ...Object.values(report.latency_us)]) {
      expect(Math.min(...Object.values(figures))).toBeGreaterThan(0)
    }
    expect(await partitions()).toEqual([])
  })

  it.each(['kvm', 'kvm-synic', 'kvm-synic2', 'qemu', 'openvmm'])('drives %s', async (profile) => {
    const { status, out } = await synicd([
      url,
      ...SMALL,
      '--json',
      '--duration',
      '300ms',
      '--profile',
      profile,
    ])
    const { failed, first_failure, messages } = Report.parse(JSON.parse(out))
    expect({ status, failed, first_failure, lost: messages.lost }).toEqual({ status: 0, failed: 0, lost: 0 })
  })

  it('spreads over partitions, and does what the mix says', async () => {
    const flags = ['--partitions', '2', '--harnesses', '2', '--guests', '3', '--watchers', '0']
    const { status, out } = await synicd([
      url,
      ...flags,
      '--duration',
      '500ms',
      '--mix',
      'events=1',
      '--json',
    ])
    const report = JSON.parse(out)
    expect([status, report.counts.messages, report.counts.registers]).toEqual([0, 0, 0])
    expect(report.counts.events).toBeGreaterThan(0)
  })

  it('takes a rate', async () => {
    const { status, out } = await synicd([url, ...SMALL, '--rate', '100', '--json'])
    const { messages } = Report.parse(JSON.parse(out))
    expect(status).toBe(0)
    expect(messages.posted).toBeGreaterThan(0)
  })

  it('prints a table, and lines meanwhile where there is no terminal', async () => {
    const { status, out, err } = await synicd([url, ...SMALL, '--duration', '2500ms'])
    expect(status).toBe(0)
    expect(out).toMatch(/^2 guests, 1 harness, 2 watchers on 1 partition \(tlfs\), synic\.v1\.bin\n/)
    expect(out).toMatch(/measured for \d\.\d s; the first 0\.3 s are left out as warm-up\n/)
    expect(out).toMatch(/a second +p50 +p99 +p99\.9 +max\n/)
    expect(out).toMatch(/\nmessages, to the guest +[\d,]+( +[\d.]+ [mu]?s){4}\n/)
    expect(out).toMatch(
      /messages posted, [\d,]+ seen, 0 lost\nwhole run: 0 busy, 0 failed, 0 notifications missed\n/,
    )
    expect(err).toMatch(/^(\d\.\d s: [\d,]+ ops\/s, [\d,]+ messages\/s, .*\n)+$/)
  })

  it('redraws a table on a terminal, and clears it at the end', async () => {
    const { err } = await synicd([url, ...SMALL, '--duration', '1500ms'], { isTTY: true })
    expect(err).toMatch(/\n\d\.\d s of 1\.5 s(, warming up)?\n +a second/)
    const esc = String.fromCharCode(27)
    expect(err.endsWith(`${esc}[9A${esc}[0J`)).toBe(true)
  })

  it('leaves its partitions if told to', async () => {
    const { out } = await synicd([url, ...SMALL, '--duration', '200ms', '--keep'])
    const [{ id, labels }, ...others] = await partitions()
    // Its guests do nothing that a guest must not do.
    const { body } = await new SynicdClient(url).call.listViolations({ params: { pid: id } })
    expect(body.items).toEqual([])
    expect([labels, others]).toEqual([{ by: 'synicd-load' }, []])
    expect(out).toContain(`left on the server: ${id}\n`)
    await new SynicdClient(url).partition(id).delete()
  })
})

describe('synicd load tells', () => {
  it('of messages nobody has sent', async () => {
    const loading = synicd([url, ...SMALL])
    await underWay(url)
    const [{ id }] = await partitions()
    await new SynicdClient(url).partition(id).postMessage(0, { sint: 2, type: 1, hex: 'ffffffff' })
    const { status, out } = await loading
    expect([status, out]).toEqual([1, expect.stringContaining('found a message that nobody had sent')])
  })

  it('of a refusal in the midst of it, and ends', async () => {
    const tight = await serve('--max-ops', '100')
    const { status, out } = await synicd([
      tight.url,
      '--batch',
      '101',
      '--mix',
      'events=1',
      '--duration',
      '1h',
    ])
    expect(status).toBe(1)
    expect(out).toMatch(/\nrefused: A batch holds at most 100 ops, got 101\. \(too-many-ops, \d+x\)\n/)
    expect(await partitions(tight.url)).toEqual([])
  })

  it('that the server has gone, with the figures so far', async () => {
    const doomed = await serve()
    const loading = synicd([doomed.url, ...SMALL, '--duration', '1h', '--json'])
    await underWay(doomed.url)
    doomed.child.kill('SIGKILL')
    const { status, out } = await loading
    const { ended, error, counts, warmup_seconds } = Report.parse(JSON.parse(out))
    expect([status, ended]).toEqual([1, 'broken'])
    // Ended within the warm-up, or behind it on a slow machine.
    expect([0, 10]).toContain(warmup_seconds)
    expect(error).toContain('cannot reach ws://')
    expect(counts.messages).toBeGreaterThan(0)
  })

  it('the figures so far on SIGINT, and cleans up', async () => {
    const child = start('load', url, ...SMALL, '--duration', '1h', '--json')
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk
    })
    await underWay(url)
    const closed = once(child, 'close')
    child.kill('SIGINT')
    expect(await closed).toEqual([0, null])
    const { ended, messages } = Report.parse(JSON.parse(text))
    expect([ended, messages.lost, messages.in_doubt]).toEqual(['interrupted', 0, 0])
    expect(await partitions()).toEqual([])
  })
})

describe('synicd load at a server that takes few requests a second', () => {
  it('opens its streams one second after another', async () => {
    const slow = await serve('--max-rate', '3')
    const { status, out, err } = await synicd([slow.url, ...SMALL])
    expect(err).toContain('2 of 5 streams open (server has a --max-rate)\n')
    expect([status, out]).toEqual([0, expect.stringContaining(' 0 lost')])
    await sleep(1100)
    expect(await partitions(slow.url)).toEqual([])
    // Partitions, too.
    const many = await synicd([slow.url, '--partitions', '4', '--harnesses', '4', '--duration', '200ms'])
    expect([many.status, many.err]).toEqual([0, expect.stringContaining('of 9 streams open')])
    await sleep(1100)
    expect(await partitions(slow.url)).toEqual([])
  })

  it('ends and cleans up at a second SIGINT, too', async () => {
    const slow = await serve('--max-rate', '1')
    const child = start('load', slow.url, ...SMALL)
    let text = ''
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk
    })
    await expect.poll(() => text, { timeout: 10_000 }).toContain('1 of 5 streams open')
    const closed = once(child, 'close')
    child.kill('SIGINT')
    await sleep(600)
    child.kill('SIGINT')
    expect((await closed)[1]).toBeNull()
    await sleep(1100)
    expect(await partitions(slow.url)).toEqual([])
  })
})

describe('synicd load refuses in one line, with status 2', () => {
  it.each([
    ['no address', [], /missing required argument 'url'/],
    ['what is no address', ['ftp://host'], /"ftp:\/\/host" is no http:\/\/ or https:\/\/ address/],
    ['a flag it does not know', ['http://x', '--guest', '1'], /unknown option '--guest'/],
    ['no guests', ['http://x', '--guests', '0'], /--guests.* whole number from 1 to 10000/],
    ['half a batch', ['http://x', '--batch', '0.5'], /--batch.* whole number from 1/],
    ['a wrong mix', ['http://x', '--mix', 'timers=1'], /--mix.*"timers=1" is not one of messages/],
    ['a time without a unit', ['http://x', '--duration', '10'], /--duration.*as in 500ms, 10s or 5m/],
    ['another protocol', ['http://x', '--protocol', 'xml'], /--protocol.*json, bin/],
    ['another profile', ['http://x', '--profile', 'xen'], /--profile.*openvmm, tlfs/],
    ['a partition without a guest', ['http://x', '--guests', '1', '--partitions', '2'], /more than --guests/],
    ['a partition without a harness', ['http://x', '--partitions', '3'], /more than --harnesses/],
    [
      'more guests than a partition has vCPUs',
      ['http://x', '--guests', '2000'],
      /give --partitions 2 or more/,
    ],
    ['a rate of no messages', ['http://x', '--rate', '5', '--mix', 'events=1'], /--rate: .*the mix has none/],
  ])('%s', async (_what, args, message) => {
    const { status, out, err } = await synicd(args)
    expect({ status, out, lines: err.trim().split('\n') }).toEqual({
      status: 2,
      out: '',
      lines: [expect.stringMatching(message)],
    })
  })

  it('a server that is not there', async () => {
    const gone = await serve()
    gone.child.kill('SIGKILL')
    await once(gone.child, 'close')
    const { status, err } = await synicd([gone.url])
    expect([status, err]).toEqual([2, expect.stringMatching(/^synicd: cannot reach http.*ECONNREFUSED.*\n$/)])
  })

  it('what the server has no room for, by its own words', async () => {
    const small = await serve('--max-partitions', '2', '--max-vcpus', '4')
    const most = await synicd([small.url, '--guests', '3', '--partitions', '3', '--harnesses', '3'])
    expect([most.status, most.err]).toEqual([2, expect.stringContaining('hosts at most 2 partitions')])
    const wide = await synicd([small.url, '--guests', '5'])
    expect([wide.status, wide.err]).toEqual([2, expect.stringContaining('has room for 4 more vCPUs, not 5')])
    expect(await partitions(small.url)).toEqual([])
  })
})
