/** The client with nothing but what a browser has: bundled, and run in a context without Node. */
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { partitionWithSynic, startServer, stopServers, type TestServer } from './server.js'

/** Twice what it is now: zod or the machine coming along would go far beyond. */
const BUNDLE_BYTES_MAX = 48 * 1024

const PROGRAM = `
  import { SynicdClient, SynicdProblem } from './src/client/index.js'
  export async function main(url) {
    const client = new SynicdClient(url)
    const partition = client.partition('p1')
    const read = await partition.readMsr(0, 'SIMP')
    const refused = await partition.readMsr(9, 'SIMP').catch((error) => error)
    const stream = partition.stream({ kinds: ['message'] })
    const { results } = await stream.ops([{ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a' }])
    let hex
    for await (const event of stream) {
      hex = event.hex
      break
    }
    await stream.close({ drain: true })
    const code = refused instanceof SynicdProblem ? refused.code : 'none'
    return JSON.stringify({ read, code, results, hex, state: stream.state })
  }
`

/** What pages and workers have, as far as a client may use it. */
const WEB = {
  fetch,
  WebSocket,
  AbortController,
  AbortSignal,
  URL,
  TextEncoder,
  TextDecoder,
  setTimeout,
  clearTimeout,
  queueMicrotask,
  Uint8Array,
  location: { href: 'http://page.example/' },
}

async function bundled(minify: boolean) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: PROGRAM, resolveDir: fileURLToPath(new URL('../..', import.meta.url)) },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'program',
    minify,
    write: false,
    metafile: true,
  })
  return { text: outputFiles[0].text, inputs: Object.keys(metafile.inputs), metafile }
}

describe('in a browser', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
    partitionWithSynic(server.service)
  })
  afterAll(stopServers)

  it('the bundle holds the client alone: no Node module, no zod', async () => {
    const { text, inputs, metafile } = await bundled(true)
    const imports = Object.values(metafile.inputs).flatMap((input) => input.imports)
    expect(imports.filter(({ path, external }) => external === true || path.startsWith('node:'))).toEqual([])
    // Installed beside it: only what `ws` has for browsers, which refuses to run.
    const installed = inputs.filter((path) => path.includes('node_modules'))
    expect(installed).toEqual(['node_modules/ws/browser.js'])
    expect(text).not.toMatch(/\brequire\(|node:/)
    expect(text.length).toBeLessThan(BUNDLE_BYTES_MAX)
  })

  it('it calls, streams, and knows its errors', async () => {
    const { text } = await bundled(false)
    const context = createContext({ ...WEB })
    runInContext(text, context)
    const reply: string = await runInContext(`program.main(${JSON.stringify(server.url)})`, context)
    expect(JSON.parse(reply)).toMatchObject({
      read: { ok: true, value: '0x10001' },
      code: 'vcpu-not-found',
      results: [{ ok: true, delivery: 'delivered' }],
      hex: '0a',
      state: 'closed',
    })
  })
})
