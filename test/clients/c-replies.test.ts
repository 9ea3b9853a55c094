/** clients/c and servers that answer late, oddly, wrongly or not at all. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ended, Workshop } from './compile.js'
import { chunked, reply, result, type Stub, stubServer } from './stub-server.js'

const workshop = new Workshop()
let exercise: string

beforeAll(async () => {
  exercise = await workshop.exercise()
})
afterAll(() => workshop.remove())

describe('replies', () => {
  const FINE = ['open: ok', 'wrmsr: ok', 'rdmsr: ok', 'value 0x10001', 'read: ok', 'byte 65']
  const fine = (request: string) =>
    request.includes('/memory/') ? 'A' : result('{"ok":true,"value":"0x10001"}')
  const stubs: Stub[] = []
  afterEach(() => {
    for (const stub of stubs.splice(0)) stub.close()
  })

  async function against(answer: Parameters<typeof stubServer>[0]) {
    const stub = await stubServer(answer)
    stubs.push(stub)
    return { ...(await ended(exercise, 'one', stub.url, 'p1')), stub }
  }

  it.each([
    ['in one piece', (request: string) => reply(fine(request))],
    ['chunked', (request: string) => chunked(fine(request), 7)],
    ['behind a 100', (request: string) => `HTTP/1.1 100 Continue\r\n\r\n${reply(fine(request))}`],
    ['on a connection that ends', (request: string) => reply(fine(request), 'connection: close\r\n')],
    ['with spaces in JSON', (request: string) => reply(fine(request).replace(/[{:,]/g, ' \n$&\t '))],
  ])('are understood: %s', async (_how, answer) => {
    const { lines, stub } = await against((request) => answer(request))
    expect(lines.slice(0, 6)).toEqual(FINE)
    expect(stub.requests).toHaveLength(5)
  })

  it('may come a byte at a time', async () => {
    const { lines } = await against(async (request, _n, socket) => {
      for (const byte of chunked(fine(request), 3)) {
        socket.write(byte)
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    expect(lines.slice(0, 6)).toEqual(FINE)
  })

  const head = 'HTTP/1.1 200 OK\r\n'
  it.each([
    ['is not HTTP', 'hello\r\n\r\n'],
    ['has no status', 'HTTP/1.1 2x0 OK\r\n\r\n'],
    ['is HTTP/2', `HTTP/2 200\r\n\r\n`],
    ['has a length beyond 64 bits', `${head}content-length: 99999999999999999999\r\n\r\n`],
    ['has a negative length', `${head}content-length: -1\r\n\r\n`],
    ['is too long', `${head}content-length: 4000000000\r\n\r\n`],
    ['is another encoding', `${head}transfer-encoding: gzip\r\n\r\n`],
    ['has a chunk without a size', `${head}transfer-encoding: chunked\r\n\r\nzz\r\n`],
    ['has too large a chunk', `${head}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n`],
    ['has a chunk of another size', `${head}transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n`],
    ['goes on behind its end', `${reply(result('{"ok":true}'))}more`],
    ['has an endless head', `${head}x: ${'y'.repeat(70_000)}`],
    ['has a 0 in its head', `${head}x: \0\r\n\r\n`],
    ['is empty', reply('')],
    ['is null', reply('null')],
    ['has no results', reply('{}')],
    ['has results of none', reply('{"results":[]}')],
    ['has results that are no list', reply('{"results":{}}')],
    ['ends within a result', reply('{"results":[{"ok":true')],
    ['ends within a string', reply('{"results":[{"ok":"\\')],
    ['has no outcome', reply(result('{"ok":false}'))],
    ['has a text for a result', reply(result('"ok"'))],
    ['has an errno that is none', reply(result('{"ok":false,"errno":-99999999999}'))],
    ['is deep', reply('['.repeat(200_000))],
    ['has a key without a value', reply('{"results"')],
    ['is a failure', 'HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n'],
  ])('that are wrong are told: %s', async (_what, wrong) => {
    const { lines, status, stderr } = await against((_request, n) => (n === 0 ? reply('{}') : wrong))
    expect(lines[1]).toMatch(/^wrmsr: GONE: (?:POST|the answer) /)
    expect(lines[2]).toMatch(/^rdmsr: GONE: /)
    expect([status, stderr]).toEqual([0, expect.not.stringMatching(/Sanitizer|runtime error/)])
  })

  it('without a value are no reading', async () => {
    const { lines } = await against((request) =>
      reply(fine(request).replace('0x10001', '0x1ffffffffffffffff')),
    )
    expect(lines.slice(1, 4)).toEqual(['wrmsr: ok', expect.stringMatching(/has no value$/), 'value 0x0'])
  })

  it('that refuse say so', async () => {
    const problem = '{"detail":"Too \\"much\\".","errors":[{"path":"a","message":"less"}]}'
    const busy = `HTTP/1.1 503 Busy\r\ncontent-length: ${problem.length}\r\n\r\n${problem}`
    const { lines } = await against((_request, n) => (n === 0 ? reply('{}') : busy))
    expect(lines[1]).toBe('wrmsr: REFUSED: POST /v1/partitions/p1/ops: 503 Too "much". a: less')
  })

  it('of a server without an auditor are told', async () => {
    const body = '{"type":"/problems/not-found","detail":"There is nothing."}'
    const missing = `HTTP/1.1 404 No\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const { lines } = await against((request) =>
      request.includes('/violations') ? missing : reply(fine(request)),
    )
    expect(lines.at(-1)).toMatch(/^violations: REFUSED: this server has no auditor: there is no GET \/v1/)
  })

  it('that do not come in time are not waited for, and the request is not sent again', async () => {
    const { lines, stub } = await against((request) =>
      request.includes('msr.write') ? '' : reply(fine(request)),
    )
    expect(lines[1]).toMatch(/no answer: .* timed out; it may have been applied, and is not sent again$/)
    expect(lines[2]).toBe('rdmsr: ok')
    expect(stub.requests.filter((text) => text.includes('msr.write'))).toHaveLength(1)
  })

  it('that do not come because the server hangs up: only a request that looks is sent again', async () => {
    const seen = new Set<string>()
    const { lines, stub } = await against((request, _n, socket) => {
      const [line] = request.split('\r\n', 1)
      if (line.includes('/p1 ') || seen.has(line)) return reply(fine(request))
      seen.add(line)
      socket.destroy()
      return ''
    })
    expect(lines[1]).toMatch(/no answer: .*; it may have been applied, and is not sent again$/)
    expect(lines.slice(2, 6)).toEqual(FINE.slice(2))
    expect(stub.requests.filter((text) => text.includes('msr.write'))).toHaveLength(1)
    expect(stub.requests.filter((text) => text.includes('/memory/'))).toHaveLength(2)
  })
})
