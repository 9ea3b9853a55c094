/** Client processes killed while they send: a batch is applied whole or not at all. A server told to go. */
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { BIN_PROTOCOL, JSON_PROTOCOL } from '../../src/api/frames.js'
import { HV_X64_MSR_SINT0 } from '../../src/hv/msrs.js'
import { OP_MSR_WRITE } from '../../src/synic/op.js'
import { MAIN } from '../support/built.js'
import { binaryFrame, firstFragment, textFrame, upgraded, upgradeRequest } from '../support/stream-raw.js'
import { batch } from '../support/stream-records.js'
import { SocketClient, type StreamServer, streamServer } from '../support/stream-socket.js'

const VICTIM = join(import.meta.dirname, '../support/stream-victim.mjs')
const OPS = 500

let server: StreamServer | undefined
const ends: (() => void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0)) end()
  await server?.app.close()
  server = undefined
})

/** Each op writes its number into SINT4: the last one applied can be read back. */
const text = JSON.stringify({
  id: 1,
  ops: Array.from({ length: OPS }, (_, i) => ({
    op: 'msr.write',
    vcpu: 0,
    msr: 'SINT4',
    value: 0x10000 | (i + 1),
  })),
})
const words = batch(
  ...Array.from({ length: OPS }, (_, i) => ({
    first: OP_MSR_WRITE,
    args: [HV_X64_MSR_SINT0 + 4, 0x10000 | (i + 1), 0],
  })),
)
const whole = textFrame(text)
const wholeBinary = binaryFrame(new Uint8Array(Int32Array.from(words).buffer))

async function sendAndDie(url: string, protocol: string, bytes: Buffer): Promise<void> {
  const child = fork(VICTIM)
  ends.push(() => child.kill('SIGKILL'))
  const exit = once(child, 'exit')
  const upgrade = upgradeRequest(url, protocol)
  child.send({ port: Number(new URL(url).port), upgrade, bytes: bytes.toString('base64') })
  expect((await exit)[1]).toBe('SIGKILL')
}

describe('a client killed', () => {
  it.each([
    ['in the header of a frame', JSON_PROTOCOL, whole.subarray(0, 3), 0],
    ['in the middle of a frame', JSON_PROTOCOL, whole.subarray(0, whole.length >> 1), 0],
    ['one byte before the end of a frame', JSON_PROTOCOL, whole.subarray(0, -1), 0],
    ['between two fragments of a message', JSON_PROTOCOL, firstFragment(text), 0],
    ['in the middle of a binary frame', BIN_PROTOCOL, wholeBinary.subarray(0, wholeBinary.length >> 1), 0],
    ['behind a frame, before its answer', JSON_PROTOCOL, whole, OPS],
    ['behind a binary frame, before its answer', BIN_PROTOCOL, wholeBinary, OPS],
    ['in the frame behind a whole one', JSON_PROTOCOL, Buffer.concat([whole, whole.subarray(0, 100)]), OPS],
  ])('%s', async (_where, protocol, bytes, applied) => {
    server = await streamServer()
    const { host, meter, url } = server
    const witness = await SocketClient.connected(url)
    ends.push(() => witness.socket.terminate())
    const { seq } = host.partition
    await sendAndDie(url, protocol, bytes)
    await expect.poll(() => meter.clients).toBe(1)
    expect(host.partition.seq).toBe(seq + applied)
    const value = `0x${(0x10000 | applied).toString(16)}`
    expect(await witness.ask({ op: 'msr.read', vcpu: 0, msr: 'SINT4' })).toEqual({
      id: 1,
      seq: seq + applied + 1,
      results: [{ ok: true, value }],
    })
  })
})

describe('a server told to go', () => {
  it('waits for no client that does not take its leave', async () => {
    const child = spawn(process.execPath, [MAIN, 'serve', '--port', '0', '--json', '--log-level', 'silent'])
    ends.push(() => child.kill('SIGKILL'))
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const { address } = JSON.parse(line.toString()) as { address: string }
    const headers = { 'content-type': 'application/json' }
    await fetch(`${address}/v1/partitions`, { method: 'POST', headers, body: '{"id":"p1"}' })
    const url = `${address.replace('http', 'ws')}/v1/partitions/p1/stream`
    const polite = await SocketClient.connected(url)
    const rude = await upgraded(url, JSON_PROTOCOL)
    ends.push(() => rude.destroy())
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    expect((await polite.closed)[0]).toBe(1001)
    expect((await exit)[0]).toBe(0)
  })
})
