/** The client with nothing but what a browser has: bundled, and run in a context without Node. */
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { partitionWithSynic, startServer, stopServers, type TestServer } from './server.js'

/** Twice what it is now: zod or the machine coming along would go far beyond. */
const BUNDLE_BYTES_MAX = 48 * 1024

const PROGRAM = fileURLToPath(new URL('browser-program.ts', import.meta.url))

/** What pages and workers have, as far as a client may use it. */
const WEB = {
  fetch,
  WebSocket,
  AbortController,
  AbortSignal,
  performance,
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
  const bundle = await rolldown({ input: PROGRAM, platform: 'browser' })
  const { output } = await bundle.generate({ format: 'iife', name: 'program', minify })
  const { code, fileName, moduleIds, imports, dynamicImports } = output[0]
  return {
    text: code,
    inputs: moduleIds,
    outside: [...imports, ...dynamicImports].filter((name) => name !== fileName),
    files: output.length,
  }
}

describe('in a browser', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
    partitionWithSynic(server.service)
  })
  afterAll(stopServers)

  it('the bundle holds the client alone: no Node module, no zod', async () => {
    const { text, inputs, outside, files } = await bundled(true)
    expect({ outside, files }).toEqual({ outside: [], files: 1 })
    // Installed beside it: only what `ws` has for browsers, which refuses to run.
    const installed = inputs.filter((path) => path.includes('node_modules'))
    expect(installed.map((path) => path.replace(/.*node_modules/, 'node_modules'))).toEqual([
      'node_modules/ws/browser.js',
    ])
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
