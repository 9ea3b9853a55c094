/** Which WebSocket there is: the caller's, the platform's, or that of the package `ws`. */

/** As much of a WebSocket as is needed. */
export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  send(data: string | Uint8Array<ArrayBuffer>): void
  close(code?: number, reason?: string): void
  /** Ends the connection without a word, where that is possible: that of the package `ws` can. */
  terminate?(): void
  addEventListener(type: string, listener: (event: { readonly type: string }) => void): void
}

interface Extras {
  readonly headers: Record<string, string>
}

/** `WebSocket` of browsers, which takes no headers, or that of the package `ws`. */
export type WebSocketConstructor = new (url: string, protocols: string, extras?: Extras) => WebSocketLike

export type Connect = (url: string, protocol: string) => WebSocketLike

/** @param headers sent where a WebSocket can: not in a browser */
export async function connector(
  given: WebSocketConstructor | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<Connect> {
  const platform = globalThis as {
    WebSocket?: WebSocketConstructor
    process?: { versions?: { node?: string } }
  }
  // Node has one of its own since 22: it takes no headers, and does not say why it cannot connect.
  const isNode = platform.process?.versions?.node !== undefined
  const known = given ?? (isNode ? undefined : platform.WebSocket)
  const Socket: WebSocketConstructor = known ?? (await import('ws')).WebSocket
  return (url, protocol) => new Socket(url, protocol, { headers: { ...headers } })
}
