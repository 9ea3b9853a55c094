/**
 * Prints how many messages a second reach the slots of a partition:
 * `npx tsx examples/watch-throughput.ts [URL] [PARTITION] [SECONDS]`
 */
import { SynicdClient, SynicdStreamClosed } from '../src/client/index.js'

const [url = 'http://127.0.0.1:8440', pid = 'p1', seconds = '10'] = process.argv.slice(2)

let messages = 0
let lost = 0
const stream = new SynicdClient(url).stream(pid, {
  kinds: ['message'],
  onEvent: (event) => {
    if (event.kind === 'gap') lost += event.to - event.from + 1
    else if (event.kind === 'message') messages++
  },
  onState: (state, cause) => {
    if (state === 'connecting') console.log(`broke: ${cause instanceof Error ? cause.message : cause}`)
  },
})
try {
  await stream.opened
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

let told = 0
let second = 0
const timer = setInterval(() => {
  const gaps = lost === 0 ? '' : `, ${lost} notifications lost so far`
  console.log(`${messages - told} messages/s${gaps}`)
  told = messages
  if (++second >= Number(seconds)) stream.close()
}, 1000)

const reason = await stream.ended
clearInterval(timer)
console.log(`${messages} messages in ${second} s`)
// A partition that was deleted is a good end too.
const deleted = reason instanceof SynicdStreamClosed && reason.code === 4010
if (reason !== undefined && !deleted) throw reason
