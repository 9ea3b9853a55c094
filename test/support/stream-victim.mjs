/**
 * A client process that dies by SIGKILL as soon as the kernel has the bytes it was told to send. In plain
 * JavaScript, for it is started often.
 */
import { once } from 'node:events'
import { connect } from 'node:net'

process.on('message', async ({ port, upgrade, bytes }) => {
  const socket = connect(port, '127.0.0.1')
  socket.write(upgrade)
  await once(socket, 'data')
  // What it has not read would make its end a reset, which may overtake what it wrote.
  socket.resume()
  socket.write(Buffer.from(bytes, 'base64'), () => process.kill(process.pid, 'SIGKILL'))
})
