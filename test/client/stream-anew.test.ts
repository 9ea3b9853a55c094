/** The stream client meets another partition under the id it knows, over real sockets and either codec. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { binaryCodec } from '../../src/client/binary.js'
import {
  jsonCodec,
  type StreamEvent,
  type StreamOptions,
  type StreamState,
  SynicdClient,
} from '../../src/client/index.js'
import type { PartitionHost } from '../../src/engine/partition-host.js'
import { complete, lastNOf, partitionWithSynic, post, startServer, stopServers } from './server.js'

afterEach(stopServers)

const CODECS = [
  ['JSON', jsonCodec],
  ['binary', binaryCodec],
] as const

/** A stream that has seen some of a partition, and all that it tells from then on. */
async function begun(url: string, options: StreamOptions) {
  const events: StreamEvent[] = []
  const onEvent = (event: StreamEvent) => events.push(event)
  const stream = new SynicdClient(url).stream('p1', { onEvent, ...options })
  await stream.ops([post(), complete, post(), complete, post()])
  events.splice(0)
  return { stream, events }
}

/** Two partitions made in the same millisecond could not be told apart. */
const aMoment = () => sleep(2)

const told = (events: readonly StreamEvent[]) =>
  events.map((event) => {
    if (event.kind === 'restarted') return event.created_at
    return event.kind === 'gap' ? [event.from, event.to] : event.n
  })
const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe.each(CODECS)('another partition under the same id, in %s', (_name, codec) => {
  it.each([
    ['less than was seen before', 1, 65_536],
    ['more', 40, 65_536],
    ['more than its ring keeps', 40, 4],
  ])(
    'is told where it has told %s by then, and all that it still has',
    async (_what, batches, streamRing) => {
      const { url, service, cut } = await startServer({ streamRing })
      partitionWithSynic(service)
      let host: PartitionHost | undefined
      /** At the moment of the break, so that the stream comes back to the new one as a whole. */
      const recreate = () => {
        service.delete('p1')
        host = partitionWithSynic(service)
        host.notifications.listen(() => {})
        for (let i = 0; i < batches; i++) {
          host.applyBatch([complete, post()])
          host.notifications.settle()
        }
      }
      const onState = (state: StreamState) => state === 'connecting' && recreate()
      const { stream, events } = await begun(url, { codec, onState, reconnect: { minMs: 1, maxMs: 20 } })
      const last = stream.lastN ?? 0
      cut()
      await expect.poll(() => host).toBeDefined()
      await stream.ops([])
      const { firstN = 0, lastN = 0 } = host?.notifications ?? {}
      const created_at = host?.createdAt.toISOString()
      expect(lastN > last).toBe(batches > 1)
      expect(told(events)).toEqual([
        created_at,
        ...(firstN > 1 ? [[1, firstN - 1]] : []),
        ...upTo(firstN, lastN),
      ])
      expect([stream.createdAt, stream.lastN]).toEqual([created_at, lastN])
      await stream.close()
    },
  )

  it.each([
    ['less', 0],
    ['more', 40],
  ])('is told where a server was started again, and has told %s', async (_what, batches) => {
    const first = await startServer()
    partitionWithSynic(first.service)
    const { stream, events } = await begun(first.url, { codec, reconnect: { minMs: 1, maxMs: 20 } })
    await first.app.close()
    await aMoment()
    const second = await startServer({
      port: first.port,
      before: (service) => {
        const made = partitionWithSynic(service)
        for (let i = 0; i < batches; i++) made.applyBatch([complete, post()])
      },
    })
    const host = second.service.get('p1')
    const n = lastNOf(host)
    await stream.ops([post()])
    const gone = n > 0 ? [[1, n]] : []
    expect(told(events)).toEqual([host.createdAt.toISOString(), ...gone, ...upTo(n + 1, lastNOf(host))])
    await stream.close()
  })

  it('is told to another stream that comes back with number and time', async () => {
    const { url, service } = await startServer()
    partitionWithSynic(service)
    const { stream } = await begun(url, { codec })
    await stream.close()
    const { lastN: since, createdAt } = stream
    const comeBack = () => {
      const events: StreamEvent[] = []
      const onEvent = (event: StreamEvent) => events.push(event)
      const again = new SynicdClient(url).stream('p1', { codec, since, createdAt, onEvent })
      return { events, again }
    }
    const same = comeBack()
    await same.again.ops([complete])
    expect(same.events.map(({ kind }) => kind)).not.toContain('restarted')
    await same.again.close()
    service.delete('p1')
    await aMoment()
    const host = partitionWithSynic(service)
    const other = comeBack()
    await other.again.ops([])
    expect(other.events[0]).toEqual({ kind: 'restarted', created_at: host.createdAt.toISOString() })
    await other.again.close()
  })
})
