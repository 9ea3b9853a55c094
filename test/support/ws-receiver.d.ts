/** The WebSocket library's reader of frames, which its types leave out. */
import type { Writable } from 'node:stream'

declare module 'ws' {
  export const Receiver: new (options: { isServer: boolean; maxPayload: number }) => Writable
}
