/** A replay on a server: what is asked of it, and how its refusals are told. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { HttpTarget } from '../../src/replay/http-target.js'
import { replayFile } from '../../src/replay/replay.js'
import { type TestApp, testApp } from '../support/app.js'
import { HEADER, replayJson } from '../support/replay.js'

const SAMPLE = join(import.meta.dirname, '../samples/qemu-seabios-kdnet.kvm-ftrace.txt')
const GOLDEN = join(import.meta.dirname, '../conformance/kvm/fuzz_001_timers.jsonl')

describe('on a running server', () => {
  let server: TestApp
  let url: string
  beforeAll(async () => {
    server = await testApp()
    url = await server.app.listen({ host: '127.0.0.1', port: 0 })
  })
  afterAll(() => server.app.close())
  afterEach(() => expect(server.service.partitionCount).toBe(0))

  it.each([GOLDEN, SAMPLE])('%s agrees', async (path) => {
    const report = await replayFile(path, { url, stdin: process.stdin })
    expect(report).toMatchObject(report.format === 'trace' ? { differences: 0 } : { mismatch_count: 0 })
    expect(report.target).toBe(`${url}/v1`)
  })

  it('an op the server refuses is told with its line', async () => {
    const lines = [HEADER, { in: { op: 'vcpu.create', vcpu: 0 } }, { in: { op: 'apic.ack', vcpu: 7 } }]
    const target = new HttpTarget(url)
    await expect(replayJson(lines, {}, target)).rejects.toThrow(/^t\.jsonl:3: .*no vCPU 7/)
    await target.close()
  })

  it('a machine the server refuses is told with its reason', async () => {
    const target = new HttpTarget(`${url}/v1/`)
    const create = replayJson(
      [{ ...HEADER, gpa_limit: '0x1000', kind: 'root', profile: 'tlfs', vcpus: 9 }],
      {},
      target,
    )
    await expect(create).rejects.toThrow(/no partition was made \(status 4\d\d\): .*gpa_limit/)
  })
})

type Answer = readonly [status: number, body: string]

describe('a server that', () => {
  let stub: Server
  let answers: Answer[] = []
  const seen: IncomingMessage[] = []
  beforeAll(async () => {
    stub = createServer((request, response) => {
      seen.push(request)
      request.resume()
      const [status, body] = answers.shift() ?? [500, '']
      response.writeHead(status).end(body)
    })
    await new Promise<void>((resolve) => stub.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => stub.close())

  const address = () => `http://127.0.0.1:${(stub.address() as AddressInfo).port}`
  const made: Answer = [201, '{"id":"p 1"}']
  const run = (token?: string) =>
    replayJson([HEADER, { in: { op: 'vcpu.create', vcpu: 0 } }], {}, new HttpTarget(address(), token))

  it('has authentication gets the token', async () => {
    answers = [made, [200, '{"seq":1,"results":[{"ok":true}]}']]
    await run('secret')
    expect(seen.slice(-2).map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ['/v1/partitions', 'Bearer secret'],
      ['/v1/partitions/p%201/ops', 'Bearer secret'],
    ])
  })

  it.each<[string, readonly Answer[], string]>([
    ['gives no reason', [[503, '']], 'no partition was made (status 503): no reason given'],
    ['is no synicd', [[201, '<html>']], 'an answer (status 201) that is not synicd'],
    ['has a bare title', [[401, '{"title":"Unauthorized"}']], '(status 401): Unauthorized'],
    [
      'lists fields',
      [[400, '{"detail":"Wrong.","errors":[{"path":"profile","message":"must be known"}]}']],
      'Wrong. [profile: must be known]',
    ],
    [
      'refuses a batch as a whole',
      [made, [413, '{"detail":"Too many."}']],
      'ops were refused (status 413): Too many.',
    ],
    ['loses results', [made, [200, '{"seq":1,"results":[]}']], 'answered 1 ops with 0 results'],
  ])('%s', async (_what, given, why) => {
    answers = [...given]
    await expect(run()).rejects.toThrow(why)
  })

  it('is not there', async () => {
    const target = new HttpTarget('http://127.0.0.1:1')
    await expect(replayJson([HEADER], {}, target)).rejects.toThrow(
      /^cannot reach http:\/\/127\.0\.0\.1:1\/v1: \S/,
    )
  })

  it.each(['localhost:8440', 'ftp://host', ''])('is no address: %o', (url) => {
    expect(() => new HttpTarget(url)).toThrow(`--url: "${url}" is no http:// or https:// address`)
  })
})
