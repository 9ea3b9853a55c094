/** What a stream leaves behind, however it is left: no timer, no socket, no rejection, no event lost. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { bundled } from '../../scripts/bundled.js'
import { SynicdClient, type SynicdStream } from '../../src/client/index.js'
import { nextId } from '../../src/client/requests.js'
import { complete, lastNOf, partitionWithSynic, post, startServer, stopServers } from './server.js'

const run = promisify(execFile)
/** Less than the library's own with a socket, which would let a process end, too. */
const PATIENCE = { timeout: 20_000 }
const streams = new Set<SynicdStream>()
afterEach(async () => {
  await Promise.all([...streams].map((stream) => stream.close()))
  streams.clear()
  await stopServers()
})

function open(url: string, options: Parameters<SynicdClient['stream']>[1] = {}): SynicdStream {
  const stream = new SynicdClient(url).stream('p1', { reconnect: { minMs: 1, maxMs: 5 }, ...options })
  streams.add(stream)
  return stream
}

describe('a process ends by itself after', () => {
  let program: string
  beforeAll(async () => {
    program = await bundled('test/client/leaver.ts')
  })

  it.each([
    ['close', 'done'],
    ['a close that nobody waits for', 'done'],
    ['a close before it is connected', 'done'],
    ['its signal', 'done'],
    ['its signal, before it is connected', 'done'],
    ['a loop that is left', 'lifecycle'],
    ['the signal of a batch', 'done'],
    ['a partition that is not there', 'done'],
    ['a listener that throws', 'a bug of the listener\na bug of the listener\n2'],
  ])('%s', async (way, told) => {
    const { url, service } = await startServer()
    partitionWithSynic(service)
    const { stdout, stderr } = await run(process.execPath, [program, url, way], PATIENCE)
    expect([stdout, stderr]).toEqual([`${told}\n`, ''])
  })

  it.each(['close', 'its signal'])('%s, although the server does not take the goodbye', async (way) => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    const created_at = '2026-01-31T12:00:00.000Z'
    server.on('connection', (socket) => {
      socket.send(JSON.stringify({ hello: { partition: 'p1', created_at, n: 0, protocol: 'synic.v1.json' } }))
      if (way === 'close') socket.send('{"id":1,"seq":1,"results":[]}')
      socket.pause()
    })
    const { port } = server.address() as AddressInfo
    const { stdout } = await run(process.execPath, [program, `http://127.0.0.1:${port}`, way], PATIENCE)
    expect(stdout).toBe('done\n')
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
})

describe('a loop', () => {
  it('that is left while it waits takes no event from the next', async () => {
    const { url, service } = await startServer()
    const host = partitionWithSynic(service)
    const stream = open(url, { kinds: ['message'] })
    await stream.opened
    const left = stream[Symbol.asyncIterator]()
    const waiting = left.next()
    await left.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
    host.applyBatch([complete, post('01')])
    for await (const event of stream) {
      expect(event).toMatchObject({ kind: 'message', hex: '01' })
      break
    }
  })
})

describe('a filter of more vCPUs than a request line has room for', () => {
  it('is in force after a break, too', async () => {
    const { url, service, cut } = await startServer()
    const host = partitionWithSynic(service)
    const states: string[] = []
    const vcpus = Array.from({ length: 4000 }, (_, i) => 1 + i)
    const stream = open(url, { onState: (state) => states.push(state) })
    await stream.subscribe({ vcpus })
    cut()
    await expect.poll(() => states.slice(1)).toEqual(['connecting', 'open'])
    await stream.ops([])
    await stream.ops([post('01'), { op: 'vcpu.offline', vcpu: 1 }, { op: 'partition.pause' }])
    for await (const event of stream) {
      // What has come between is another vCPU's, and not missed.
      expect(event).toMatchObject({ kind: 'lifecycle', event: 'vcpu_offline', n: lastNOf(host) - 1 })
      break
    }
  })

  it('may be the first', async () => {
    const { url, service } = await startServer()
    const host = partitionWithSynic(service)
    const stream = open(url, { vcpus: Array.from({ length: 4000 }, (_, i) => 1 + i) })
    await stream.ops([post('01'), { op: 'vcpu.offline', vcpu: 1 }])
    for await (const event of stream) {
      expect(event).toMatchObject({ kind: 'lifecycle', event: 'vcpu_offline', n: lastNOf(host) })
      break
    }
  })
})

it.each([
  ['the next', 7, [], 8],
  ['the first again behind what 32 bits hold', 0xffff_ffff, [], 1],
  ['none that somebody waits for', 0xffff_fffe, [0xffff_ffff, 1, 2], 3],
])('the number of a request is %s', (_what, last, taken, id) => {
  expect(nextId(last, (number) => taken.some((one) => one === number))).toBe(id)
})
