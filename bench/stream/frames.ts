// What clients send: batches of ops made into frames once, and how large what they bring about is.
import { once } from 'node:events'
import WebSocket from 'ws'
import { BinCodec } from '../../src/api/bin-codec.js'
import { RECORD_NOTIFICATION } from '../../src/api/notification.js'
import { RECORD_ANSWER, RECORD_TAG } from '../../src/api/records.js'
import { frameOf, type ProtocolName } from './peer.js'
import type { Server } from './server.js'

export const JSON_PROTOCOL: ProtocolName = 'synic.v1.json'
export const BIN_PROTOCOL: ProtocolName = 'synic.v1.bin'
export const PROTOCOLS = [JSON_PROTOCOL, BIN_PROTOCOL] as const

export const shortName = (protocol: ProtocolName) => protocol.slice('synic.v1.'.length)

export const STREAM = '/v1/partitions/bench/stream'
/** No notifications: answers only. */
export const ANSWERS_ONLY = `${STREAM}?kinds=`
export const MESSAGES_ONLY = `${STREAM}?kinds=message`

const VCPUS = 4
/** Makes the notification of a message 272 bytes in binary. */
const PAYLOAD_HEX = '5a'.repeat(216)

type WireOp = { op: string; vcpu: number } & Record<string, unknown>

/** SINT writes, of a value each. */
export function sintWrites(count: number): WireOp[] {
  return Array.from({ length: count }, (_, i) => {
    const value = `0x${(0x100f0 + (i % 8)).toString(16)}`
    return { op: 'msr.write', vcpu: i % VCPUS, msr: '0x40000093', value }
  })
}

/** Messages posted, their interrupts taken, their slots freed, their interrupts ended: four ops each. */
export function messageCycles(count: number): WireOp[] {
  return Array.from({ length: count }, (_, i) => {
    const vcpu = i % VCPUS
    return [
      { op: 'message.post', vcpu, sint: 2, type: 1, hex: PAYLOAD_HEX },
      { op: 'apic.ack', vcpu },
      { op: 'message.complete', vcpu, sint: 2 },
      { op: 'apic.eoi', vcpu },
    ]
  }).flat()
}

/** A batch on its way to a server, and what comes back. */
export interface Batch {
  readonly protocol: ProtocolName
  readonly frame: Buffer
  readonly answerBytes: number
  readonly notificationBytes: number
}

/** Tries the batch once and looks whether every op succeeds. */
export async function batchOf(
  server: Server,
  protocol: ProtocolName,
  ops: readonly WireOp[],
): Promise<Batch> {
  const payload = protocol === BIN_PROTOCOL ? binary(ops) : Buffer.from(JSON.stringify({ id: 1, ops }))
  const url = `ws://127.0.0.1:${server.port}${MESSAGES_ONLY}`
  const socket = new WebSocket(url, protocol, { perMessageDeflate: false })
  await once(socket, 'message')
  const sizes = { answerBytes: 0, notificationBytes: 0 }
  socket.on('message', (bytes: Buffer) => {
    if (protocol === BIN_PROTOCOL) measureRecords(bytes, sizes)
    else measureText(bytes.toString(), sizes)
  })
  socket.send(payload, { binary: protocol === BIN_PROTOCOL })
  while (sizes.answerBytes === 0) await once(socket, 'message')
  socket.terminate()
  return { protocol, frame: frameOf(payload, protocol), ...sizes }
}

function binary(ops: readonly WireOp[]): Buffer {
  return Buffer.from(new BinCodec().encodeOps(1, ops, false))
}

interface Sizes {
  answerBytes: number
  notificationBytes: number
}

function measureText(text: string, sizes: Sizes): void {
  const frame = JSON.parse(text) as object
  if ('n' in frame) sizes.notificationBytes = text.length
  else {
    check(frame)
    sizes.answerBytes = text.length
  }
}

/** Notifications come before the answer, which is last. */
function measureRecords(bytes: Buffer, sizes: Sizes): void {
  const words = new Int32Array(Uint8Array.from(bytes).buffer)
  for (let at = 0; at < words.length; at += words[at + 1]) {
    const tag = words[at] & RECORD_TAG
    if (tag === RECORD_NOTIFICATION) sizes.notificationBytes = words[at + 1] * 4
    else if (tag === RECORD_ANSWER) {
      check(new BinCodec().decode(words.slice(at).buffer).at(-1))
      sizes.answerBytes = (words.length - at) * 4
      return
    }
  }
}

function check(answer: unknown): void {
  const { results } = answer as { results?: { ok: boolean }[] }
  if (results?.every(({ ok }) => ok) !== true) throw new Error(`refused: ${JSON.stringify(answer)}`)
}
