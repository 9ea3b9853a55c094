/** What a page would do with the client: bundled and run by browser.test.ts. */
import { SynicdClient, SynicdProblem } from '../../src/client/index.js'

/** Calls, is refused, posts and listens; what came of it as JSON. */
export async function main(url: string): Promise<string> {
  const client = new SynicdClient(url)
  const partition = client.partition('p1')
  const read = await partition.readMsr(0, 'SIMP')
  const refused: unknown = await partition.readMsr(9, 'SIMP').catch((error) => error)
  const stream = partition.stream({ kinds: ['message'] })
  const { results } = await stream.ops([{ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a' }])
  let hex: string | undefined
  for await (const event of stream) {
    if (event.kind === 'message') hex = event.hex
    break
  }
  await stream.close({ drain: true })
  const code = refused instanceof SynicdProblem ? refused.code : 'none'
  return JSON.stringify({ read, code, results, hex, state: stream.state })
}
