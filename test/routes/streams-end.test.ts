/** How a stream ends by the server's doing, and whom that concerns. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { post, SocketClient, type StreamServer, streamServer } from '../support/stream-socket.js'

let server: StreamServer
const clients: SocketClient[] = []

beforeEach(async () => {
  server = await streamServer()
})
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate()
  await server.app.close()
})

async function join(): Promise<SocketClient> {
  const client = await SocketClient.connected(server.url)
  clients.push(client)
  return client
}

it('1011 for a mistake of the server, which no other stream notices', async () => {
  const { host } = server
  const [one, other] = [await join(), await join()]
  const applyBatch = vi.spyOn(host, 'applyBatch').mockImplementationOnce(() => {
    throw new Error('a mistake')
  })
  one.send({ id: 1, ops: [post()] })
  expect((await one.closed)[0]).toBe(1011)
  applyBatch.mockRestore()
  expect(await other.ask(post())).toMatchObject({ results: [{ ok: true }] })
})

it('4010 behind all that was told before', async () => {
  const { host, service } = server
  const watcher = await join()
  host.applyBatch([post()])
  const { lastN } = host.notifications
  service.delete('p1')
  expect((await watcher.closed)[0]).toBe(4010)
  expect(watcher.numbers.at(-1)).toBe(lastN)
})
