/** The WebSocket library's reader of frames, which its types leave out. */
import type { Writable } from 'node:stream'

declare module 'ws' {
  export const Receiver: new (options: { isServer: boolean; maxPayload: number }) => Writable
}

export interface FrameParts {
  /** FIN, three reserved bits and the opcode. */
  readonly first: number
  readonly payload: Uint8Array
  readonly mask?: readonly number[]
  /** Bytes that the length is written in, behind the second byte: 0, 2 or 8. As few as do, if not given. */
  readonly lengthBytes?: 0 | 2 | 8
}

/** A frame as its bytes, right or wrong (RFC 6455, section 5.2). */
export function frameBytes({ first, payload, mask, lengthBytes }: FrameParts): Buffer {
  const { length } = payload
  const extra = lengthBytes ?? (length < 126 ? 0 : length < 0x1_0000 ? 2 : 8)
  const header = Buffer.alloc(2 + extra)
  header[0] = first
  header[1] = (mask === undefined ? 0 : 0x80) | (extra === 0 ? length : extra === 2 ? 126 : 127)
  if (extra === 2) header.writeUInt16BE(length, 2)
  if (extra === 8) header.writeBigUInt64BE(BigInt(length), 2)
  if (mask === undefined) return Buffer.concat([header, payload])
  return Buffer.concat([header, Buffer.from(mask), payload.map((byte, i) => byte ^ mask[i & 3])])
}
