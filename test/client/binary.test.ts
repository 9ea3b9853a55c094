/** The stream client over `synic.v1.bin`: what `jsonCodec` gives, in records. */
import { afterEach, describe, expect, it } from 'vitest'
import { binaryCodec } from '../../src/client/binary.js'
import { type StreamEvent, SynicdClient, SynicdProblem } from '../../src/client/index.js'
import { complete, partitionWithSynic, post, startServer, stopServers } from './server.js'

afterEach(stopServers)

/** The same batches over one codec: answers, then events, in a partition of its own. */
async function story(codec: typeof binaryCodec | undefined) {
  const { url, service } = await startServer()
  const client = new SynicdClient(url)
  partitionWithSynic(service)
  const events: StreamEvent[] = []
  const onEvent = (event: StreamEvent) => events.push(event)
  const stream = client.stream('p1', { onEvent, actor: 'vmbus', ...(codec !== undefined && { codec }) })
  const answers = [
    await stream.ops([post(), { ...post(), actor: 'mshv' }]),
    await stream.ops([complete, { op: 'kernel.boot', kernel: 'linux', cause: 'kexec' }]),
    await stream.ops([{ op: 'synic.dump', vcpu: 0 }]),
    await stream.ops([{ op: 'msr.read', vcpu: 9, msr: 'SIMP' }]).catch((error: unknown) => error),
    await stream.ops([{ op: 'msr.read', vcpu: -1, msr: 'SIMP' }]).catch((error: unknown) => error),
  ]
  const subscribed = await stream.subscribe({ kinds: ['eom'], vcpus: [0] })
  const log = await (await fetch(`${url}/v1/partitions/p1/log`)).text()
  await stream.close()
  return { answers, events, subscribed, log }
}

describe('the binary codec', () => {
  it('gives what the JSON codec gives: answers, refusals, events, actors', async () => {
    const json = await story(undefined)
    const binary = await story(binaryCodec)
    expect(binary).toEqual(json)
    expect(binary.answers[3]).toBeInstanceOf(SynicdProblem)
    expect(binary.answers[4]).toMatchObject({ code: 'invalid-op', errors: [{ path: 'ops/0/vcpu' }] })
    expect(binary.events.length).toBeGreaterThan(3)
    expect(binary.log).toContain('"actor":"mshv"')
    expect(binary.log).toContain('"actor":"vmbus"')
  })

  it('refuses text', () => {
    expect(() => binaryCodec.decode('{}')).toThrow('this protocol has binary frames')
  })
})
