/** Between frames and what a WebSocket carries; one codec a subprotocol. */
import type * as frames from '../api/frames.js'
import type { ServerFrame } from '../api/server-frames.js'
import type { Op } from './calls.js'

/** What to be told; a part left out means all. */
export interface StreamFilter {
  readonly kinds?: readonly frames.NotificationKind[] | undefined
  /** What concerns these vCPUs, and the partition as a whole. */
  readonly vcpus?: readonly number[] | undefined
}

export interface StreamCodec {
  /** The WebSocket subprotocol. */
  readonly protocol: string
  readonly binaryType: 'arraybuffer'
  encodeOps(id: number, ops: readonly Op[], stopOnFault: boolean): string | Uint8Array
  encodeSubscribe(id: number, filter: StreamFilter): string | Uint8Array
  /** Frames of one WebSocket message. Throws on what it does not understand. */
  decode(data: string | ArrayBuffer): ServerFrame[]
}

// Typed by the schemas' own constants: their values would bring zod along.
const JSON_PROTOCOL: typeof frames.JSON_PROTOCOL = 'synic.v1.json'

export const jsonCodec: StreamCodec = {
  protocol: JSON_PROTOCOL,
  binaryType: 'arraybuffer',
  encodeOps: (id, ops, stopOnFault) =>
    JSON.stringify({ id, ops, ...(stopOnFault && { stop_on_fault: true }) }),
  encodeSubscribe: (id, filter) => JSON.stringify({ id, subscribe: filter }),
  decode(data) {
    if (typeof data !== 'string') throw new TypeError('this protocol has text frames')
    const frame: unknown = JSON.parse(data)
    if (typeof frame !== 'object' || frame === null) throw new TypeError('a frame is an object')
    return [frame as ServerFrame]
  },
}
