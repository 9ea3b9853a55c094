/** What a load says of messages that do not arrive: lost where that is known, in doubt where it is not. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { isClean } from '../../src/load/report.js'
import { runLoad } from '../../src/load/run.js'
import { startServer, stopServers, type TestServer } from '../client/server.js'

const PLAN = {
  guests: 2,
  harnesses: 1,
  watchers: 0,
  partitions: 1,
  profile: 'tlfs',
  protocol: 'bin',
  durationMs: 1000,
  mix: { messages: 1, events: 0, registers: 0 },
  batch: 16,
  window: 2,
  rate: undefined,
  keep: false,
} as const
/** Messages that may be on their way to a guest. */
const ROOM = 16
const OBSERVER = {
  signal: new AbortController().signal,
  drainMs: 300,
  intervalMs: 60_000,
  onInterval: () => {},
}

let server: TestServer
let proxy: Server | undefined
const sockets = new Set<Socket>()

beforeAll(async () => {
  server = await startServer()
})
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  proxy?.close()
})
afterAll(stopServers)

/**
 * A network that after so many chunks of a stream's client brings it nothing any more but one last answer,
 * without closing anything. A guest's second chunk is its set-up, a harness's its first batch.
 * @param silent chunks behind which it is silent, by actor
 */
async function networkThatGoesSilent(silent: Readonly<Record<string, number>>): Promise<string> {
  proxy = createServer((client) => {
    const upstream = connect(server.port, '127.0.0.1')
    let left = Number.POSITIVE_INFINITY
    client.once('data', (head) => {
      const [, actor = ''] = /actor=(\w+)/.exec(head.toString('latin1')) ?? []
      left = silent[actor] ?? left
    })
    client.on('data', (chunk) => {
      left--
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      client.write(chunk)
      if (left <= 0) upstream.pause()
    })
    client.on('close', () => upstream.destroy()).on('error', () => {})
    upstream.on('close', () => client.destroy()).on('error', () => {})
    for (const socket of [client, upstream]) sockets.add(socket)
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

describe('a load', () => {
  it('knows which messages no guest has seen', async () => {
    const { service, url } = server
    let isTold = false
    const outcome = await runLoad(
      { ...PLAN, url },
      {
        ...OBSERVER,
        drainMs: 1500,
        intervalMs: 200,
        // Without its local APIC a guest is never interrupted, and its messages stay where they are.
        onInterval() {
          if (isTold) return
          isTold = true
          const [host] = service.list()
          host.applyBatch([{ op: 'apic.enable', vcpu: 1, on: false }])
        },
      },
    )
    expect([outcome.ending.ended, outcome.inDoubt, isClean(outcome)]).toEqual(['time', 0, false])
    expect(outcome.lost).toBe(ROOM)
    expect(outcome.lost).toBe(outcome.posted - outcome.seen)
  })

  it('takes nothing for lost that a guest was never told of', async () => {
    const url = await networkThatGoesSilent({ guest: 2 })
    const outcome = await runLoad({ ...PLAN, url }, OBSERVER)
    const { ending, posted, seen, lost, inDoubt, left } = outcome
    expect({ ended: ending.ended, posted, seen, lost, inDoubt, left }).toEqual({
      ended: 'time',
      posted: 2 * ROOM,
      seen: 0,
      lost: 0,
      inDoubt: 2 * ROOM,
      left: [],
    })
    expect(isClean(outcome)).toBe(false)
  })

  it('takes nothing for lost when nobody is answered any more', async () => {
    const url = await networkThatGoesSilent({ guest: 2, harness: 2 })
    const outcome = await runLoad({ ...PLAN, url }, OBSERVER)
    const { ending, seen, lost, left } = outcome
    expect({ ended: ending.ended, seen, lost, left }).toEqual({ ended: 'time', seen: 0, lost: 0, left: [] })
    expect(outcome.inDoubt).toBe(2 * ROOM)
    expect(isClean(outcome)).toBe(false)
  })
})
