/** The examples as a reader runs them: child processes against a real server, ending by themselves. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  complete,
  partitionWithSynic,
  post,
  startServer,
  stopServers,
  type TestServer,
} from './client/server.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

async function example(name: string, ...args: string[]): Promise<string[]> {
  const command = ['--import', 'tsx', `examples/${name}.ts`, ...args]
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: ROOT, timeout: 100_000 })
  return stdout.trim().split('\n')
}

describe('the examples', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(stopServers)

  it('post-msr-writes: all of them, without a fault', async () => {
    const lines = await example('post-msr-writes', server.url, '5', '100')
    expect(lines).toEqual([expect.stringMatching(/^500 MSR writes, 0 faults, \d+ a second$/)])
  })

  it('guest: takes every message, in order', async () => {
    const lines = await example('guest', server.url, '30')
    const payloads = lines.slice(0, -1).map((line) => Number.parseInt(line.split(', ')[1], 16))
    expect(payloads).toEqual(Array.from({ length: 30 }, (_, i) => i))
    expect(lines.at(-1)).toBe('30 messages taken')
  })

  it('watch-throughput: counts what reaches a slot, and ends', async () => {
    const host = partitionWithSynic(server.service, 'watched')
    const posting = setInterval(() => host.applyBatch([complete, post()]), 10)
    const lines = await example('watch-throughput', server.url, 'watched', '2').finally(() =>
      clearInterval(posting),
    )
    expect(lines).toHaveLength(3)
    expect(lines.at(-1)).toMatch(/^[1-9]\d* messages in 2 s$/)
  })

  it('are what docs/client.md shows', () => {
    const page = readFileSync(join(ROOT, 'docs/client.md'), 'utf8')
    const excerpts = [...page.matchAll(/```ts\n\/\/ (examples\/\S+)\n([\s\S]*?)```/g)]
    for (const [, path, code] of excerpts) expect(readFileSync(join(ROOT, path), 'utf8')).toContain(code)
    expect(excerpts).toHaveLength(3)
  })

  it('leave no partition behind, and fail where there is none', async () => {
    await expect(example('watch-throughput', server.url, 'nobody')).rejects.toThrow(/4004/)
    expect(server.service.partitionCount).toBe(1)
  })
})
