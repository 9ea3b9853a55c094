/** clients/c as a driver's author uses it: compiled by the machine's C compiler, against real servers. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startServer, stopServers, type TestServer } from '../client/server.js'
import { MAIN } from '../support/built.js'
import { ended, ROOT, run, STRICT, Workshop } from './compile.js'
import { reply, result, stubServer } from './stub-server.js'

const HEADER = join(ROOT, 'clients/c/synicd.h')
const workshop = new Workshop()
const { folder } = workshop
let exercise: string
let server: TestServer

beforeAll(async () => {
  exercise = await workshop.exercise()
  server = await startServer()
})
afterAll(async () => {
  await stopServers()
  workshop.remove()
})

describe('two_drivers', () => {
  const example = join(folder, 'c/examples/two_drivers')

  beforeAll(async () => {
    mkdirSync(join(folder, 'c/examples'), { recursive: true })
    copyFileSync(HEADER, join(folder, 'c/synicd.h'))
    for (const name of ['Makefile', 'two_drivers.c']) {
      copyFileSync(join(ROOT, 'clients/c/examples', name), join(folder, 'c/examples', name))
    }
    await run('make', ['-C', join(folder, 'c/examples'), 'CC=cc'])
  })

  it('shows the collision, then the fix, and leaves nothing behind', async () => {
    const { status, lines, stderr } = await ended(example, '--url', server.url)
    const lost = (msr: string, value: string) =>
      `  vmbus: unchecked MSR access error: WRMSR to HV_X64_MSR_${msr}, tried to write ${value}`
    expect(lines).toContain('  auditor: mshv writes SCONTROL, which belongs to vmbus')
    expect(lines.filter((line) => !line.startsWith('  auditor: '))).toEqual([
      "COLLISION: mshv's teardown switches off SIEFP, SIMP and SCONTROL too",
      'vmbus and mshv are set up',
      'vmbus: interrupt on vector 243, message 17, slot freed',
      'mshv is torn down',
      lost('SINT2', '0x100f3'),
      lost('SIMP', '0x0'),
      lost('SIEFP', '0x0'),
      lost('SCONTROL', '0x0'),
      'vmbus is torn down',
      'left behind: SINT2 UNMASKED, SIMP 0x10000, SIEFP 0x11000, SCONTROL 0x0',
      expect.stringMatching(/^the auditor found [1-9]\d* violations$/),
      '4 writes lost',
      '',
      "FIX: mshv's teardown touches SINT0, SINT5 and SIRBP only",
      'vmbus and mshv are set up',
      'vmbus: interrupt on vector 243, message 17, slot freed',
      'mshv is torn down',
      'vmbus is torn down',
      'left behind: SINT2 masked, SIMP 0x0, SIEFP 0x0, SCONTROL 0x0',
      'the auditor found 0 violations',
      '0 writes lost',
      '',
      'as expected: the collision cost four writes, the fix none',
    ])
    expect([status, stderr, server.service.partitionCount]).toEqual([0, '', 0])
  })

  it('says so where there is no server', async () => {
    const { status, stderr } = await ended(example, '--url', 'http://127.0.0.1:1')
    expect(status).toBe(2)
    expect(stderr).toBe('synicd: no server at 127.0.0.1, port 1: Connection refused\n')
  })
})

describe('every function', () => {
  /** Lines in this order, others between them. */
  function expectInOrder(lines: readonly string[], wanted: readonly (string | RegExp)[]): void {
    let at = 0
    for (const want of wanted) {
      const found = lines.findIndex(
        (line, i) => i >= at && (want instanceof RegExp ? want.test(line) : line === want),
      )
      expect(found, `"${want}" behind line ${at} of\n${lines.join('\n')}`).toBeGreaterThanOrEqual(at)
      at = found + 1
    }
  }

  it('works, or says what is wrong', async () => {
    const { status, lines, stderr } = await ended(exercise, 'all', server.url)
    expectInOrder(lines, [
      'create: ok',
      'id c1',
      /^create again: REFUSED: .* 409 There already is a partition "c1"/,
      /^bad options: REFUSED: .* 400 The body must be JSON/,
      /^bad kind: REFUSED: /,
      'open: ok',
      'open nobody: REFUSED: GET /v1/partitions/nobody: 404 There is no partition "nobody".',
      /^open a bad name: REFUSED: /,
      /^open as a bad name: REFUSED: /,
      /^open nowhere: GONE: no server at 127.0.0.1, port 1: Connection refused$/,
      '10 sentences logged',
      'rdmsr SIMP: ok',
      'SIMP 0x10001',
      'rdmsr of no MSR: GP: #GP: {"op":"msr.read","vcpu":0,"msr":"0x12345"}',
      'value 0x0',
      /^wrmsr of no MSR: GP: #GP: .*"value":"0xffffffffffffffff"/,
      /^wrmsr on no vCPU: REFUSED: .* 404 Partition c1 has no vCPU 7/,
    ])
    expectInOrder(lines, [
      'read 1 MiB: ok',
      'same 1',
      'read more: ok',
      'same 1',
      'read nothing: ok',
      /^read beyond memory: REFUSED: .* 400 \[0xfffffffff000, \+16\) is not all guest memory/,
      /^write beyond memory: REFUSED: /,
      /^read beyond 64 bits: REFUSED: /,
      'other before pull 0',
      'other after pull 42, at 0x30008',
      'cas that fits: ok',
      'old 42',
      'cas that does not: ok',
      'old 43',
      'xchg: ok',
      'old 43',
      /^cas of 3 bytes: REFUSED: .* 400 ops\/0\/len must be one of 1, 4, 8\.$/,
      /^cas beyond memory: -14: /,
      /^pull outside: REFUSED: /,
      /^push across the end: REFUSED: /,
      'gpa outside 1',
      'map beyond memory 1',
      'map nothing 1',
    ])
    expectInOrder(lines, [
      'wait in vain: ok',
      'vector -1, long enough 1',
      '78 {"ok":true,"status":0,"delivery":"delivered","irqs":[{"vcpu":0,"vector":243}]}',
      'vector 243',
      'complete: ok',
      'eoi: ok',
      '26 {"ok":t',
      /^no op: REFUSED: .*must be one of vcpu.create/,
      /^no JSON: REFUSED: /,
      /^wait on no vCPU: REFUSED: /,
      /^hypercall without its page: UD: #UD: /,
      'status 0x12',
      'status 18',
      'status 18',
      /^post_message too long: REFUSED: /,
      'post_message of nothing: ok',
      'now 12345',
      'claim: ok',
      /^claim of no register: REFUSED: .*ops\/0\/claims\/1/,
      /^claim with a quote: REFUSED: /,
      'detach: ok',
      'violations told',
      'cut off 1',
      'delete: ok',
      /^after delete: REFUSED: .* 404 There is no partition "c1"\.$/,
    ])
    expect(stderr.split('\n').filter((line) => line !== '' && !line.startsWith('synicd: '))).toEqual([])
    expect(status).toBe(0)
  })

  it('leaves to the VMM what is the VMM’s', async () => {
    expect((await ended(exercise, 'kvm', server.url)).lines).toEqual([
      'create: ok',
      'signal_event: EXITED: the VMM must answer {"op":"hv.signal_event","vcpu":0,"connection":1,"flag":0}',
      expect.stringMatching(/^wrmsr SINT3: GP: /),
    ])
  })
})

describe('a server that goes', () => {
  const running = new Set<ChildProcessWithoutNullStreams>()
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL')
    running.clear()
  })

  /** `exercise pause`, with `meanwhile` between its two halves: what it prints afterwards. */
  async function pausedFor(url: string, meanwhile: () => unknown): Promise<string[]> {
    const child = spawn(exercise, ['pause', url, 'p1'])
    running.add(child)
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk
    })
    const closed = once(child, 'close')
    await expect.poll(() => text).toBe('open: ok\nwrmsr: ok\npaused\n')
    await meanwhile()
    child.stdin.end('\n')
    await closed
    return text.trimEnd().split('\n').slice(3)
  }

  it('closes the idle connection: the next call opens one', async () => {
    server.service.create({ id: 'p1', profile: 'tlfs' })
    const { server: http } = server.app
    const lines = await pausedFor(server.url, async () => {
      server.cut()
      // A call that comes before the end of the connection has reached the kernel is in doubt.
      await expect.poll(promisify(http.getConnections.bind(http))).toBe(0)
    })
    expect(lines).toEqual(['wrmsr: ok', 'rdmsr: ok', 'value 0x20001', 'read: ok'])
  })

  it('says how long it keeps an idle connection: a call near that end opens another', async () => {
    const answer = reply(result('{"ok":true,"value":"0x20001"}'), 'keep-alive: timeout=2\r\n')
    const stub = await stubServer((request) => (request.includes('/memory/') ? reply('A') : answer))
    await pausedFor(stub.url, () => new Promise((resolve) => setTimeout(resolve, 1200)))
    expect(stub.connections()).toBe(2)
    stub.close()
  })

  it('is killed in mid-run: each call says so', async () => {
    const serve = [MAIN, 'serve', '--log-level', 'silent', '--port', '0', '--json']
    const child = spawn(process.execPath, serve, { cwd: ROOT })
    running.add(child)
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const url: string = JSON.parse(line.toString()).address
    const headers = { 'content-type': 'application/json' }
    await fetch(`${url}/v1/partitions`, { method: 'POST', headers, body: '{"id":"p1"}' })
    const lines = await pausedFor(url, async () => {
      child.kill('SIGKILL')
      await once(child, 'close')
    })
    const gone = `GONE: no server at 127.0.0.1, port ${new URL(url).port}: Connection refused`
    expect(lines).toEqual([`wrmsr: ${gone}`, `rdmsr: ${gone}`, 'value 0x0', `read: ${gone}`])
  })
})

describe('the header', () => {
  it('gives a file no more than prototypes, and links from C++', async () => {
    const whole = workshop.write('whole.c', `#define SYNICD_IMPLEMENTATION\n#include "${HEADER}"\n`)
    const names = '#define min(a, b) 0\nstruct list_head { int socket; };\nstatic int send, read, poll;\n'
    const driver = workshop.write(
      'driver.c',
      `${names}#include "${HEADER}"\nint main(void) { struct synicd p; return send + read + poll +
      synicd_open(&p, "", "", "") + min(1, 2) == SYNICD_REFUSED ? 0 : 1; }\n`,
    )
    await run('cc', ['-std=c99', ...STRICT, whole, driver, '-o', join(folder, 'driver')])
    expect((await ended(join(folder, 'driver'))).status).toBe(0)
    if (!workshop.has('c++')) return
    const object = join(folder, 'whole.o')
    await run('cc', ['-std=c99', ...STRICT, '-c', whole, '-o', object])
    copyFileSync(driver, join(folder, 'driver.cc'))
    await run('c++', [
      '-std=c++11',
      ...STRICT,
      join(folder, 'driver.cc'),
      object,
      '-o',
      join(folder, 'driver'),
    ])
    expect((await ended(join(folder, 'driver'))).status).toBe(0)
    copyFileSync(whole, join(folder, 'whole.cc'))
    await run('c++', ['-std=c++11', ...STRICT, '-c', join(folder, 'whole.cc'), '-o', object])
  })
})
