/** A program that uses a stream in one of many ways and then does nothing: it has to end by itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SynicdClient } from '../../src/client/index.js'

const [url = '', way = ''] = process.argv.slice(2)
const client = new SynicdClient(url)
const controller = new AbortController()
const { signal } = controller
const nothing = () => {}

const WAYS: Readonly<Record<string, () => Promise<unknown>>> = {
  async close() {
    const stream = client.stream('p1')
    await stream.ops([])
    await stream.close()
  },
  async 'a close that nobody waits for'() {
    const stream = client.stream('p1')
    await stream.opened
    stream.close().catch(nothing)
  },
  async 'a close before it is connected'() {
    await client.stream('p1').close()
  },
  async 'its signal'() {
    const stream = client.stream('p1', { signal })
    await stream.opened
    controller.abort()
    await stream.ended
  },
  async 'its signal, before it is connected'() {
    const stream = client.stream('p1', { signal })
    controller.abort()
    await stream.ended
  },
  async 'a loop that is left'() {
    const stream = client.stream('p1')
    const { kind } = await new Promise<{ kind: string }>((resolve, reject) => {
      const loop = async () => {
        for await (const event of stream) return resolve(event)
      }
      loop().catch(reject)
      stream.ops([{ op: 'partition.pause' }, { op: 'partition.resume' }]).catch(reject)
    })
    await stream.close()
    return kind
  },
  async 'the signal of a batch'() {
    const stream = client.stream('p1')
    const answer = stream.ops([], { signal })
    controller.abort()
    await answer.catch(nothing)
    await stream.close()
  },
  async 'a partition that is not there'() {
    await client.stream('nobody').ended
  },
  async 'a listener that throws'() {
    const onEvent = () => {
      throw new Error('a bug of the listener')
    }
    process.on('uncaughtException', (error) => console.log(error.message))
    const stream = client.stream('p1', { onEvent })
    const { results } = await stream.ops([{ op: 'partition.pause' }, { op: 'partition.resume' }])
    await sleep(1)
    await stream.close()
    return results.length
  },
}

const told = await WAYS[way]?.()
console.log(told === undefined ? 'done' : String(told))
