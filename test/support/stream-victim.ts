/** A client process that dies by SIGKILL as soon as the kernel has the bytes it was told to send. */
import { upgraded } from './stream-raw.js'

export interface Orders {
  readonly url: string
  readonly protocol: string
  /** Base64. */
  readonly bytes: string
}

process.on('message', async ({ url, protocol, bytes }: Orders) => {
  const socket = await upgraded(url, protocol)
  // What it has not read would make its end a reset, which may overtake what it wrote.
  socket.resume()
  socket.write(Buffer.from(bytes, 'base64'), () => process.kill(process.pid, 'SIGKILL'))
})
