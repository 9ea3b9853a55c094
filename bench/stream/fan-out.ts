// Messages told to many sockets, against a plain `ws` server that sends each of them to each socket.
import type { Row } from '../measure.js'
import { Audience, type Deliveries } from './audience.js'
import { BIN_PROTOCOL, batchOf, messageCycles, PROTOCOLS, shortName } from './frames.js'
import type { ProtocolName } from './peer.js'
import { inTurn, pairRows, perCpuSecond, perSecond, ratioAtLeast } from './rows.js'
import { type Server, withServers } from './server.js'

const ROUNDS = 4
const ROUND_MS = 800
const BURST = 16
/** Bursts under way: while the last one is read the next is written. */
const WINDOW = 2
const LABELS = { subject: 'synicd', baseline: 'plain ws' }
const rate = (of: Deliveries) => of.perSecond / 1e3
const cpuRate = (of: Deliveries) => of.perCpuSecond / 1e3

async function toSockets(
  servers: readonly Server[],
  protocol: ProtocolName,
  sockets: number,
): Promise<Row[]> {
  const posted = await batchOf(servers[0], BIN_PROTOCOL, messageCycles(BURST))
  const told = await batchOf(servers[0], protocol, messageCycles(BURST))
  const [subject, baseline] = await Promise.all(
    servers.map((server) => Audience.connect(server, posted, told, BURST, sockets)),
  )
  const pairs = await inTurn(
    ROUNDS,
    () => subject.flood(ROUND_MS, WINDOW),
    () => baseline.flood(ROUND_MS, WINDOW),
  )
  subject.end()
  baseline.end()
  const what = `${shortName(protocol)}, deliveries to ${sockets} sockets`
  const goal = sockets === 100 ? ratioAtLeast(8) : undefined
  return [
    ...pairRows(pairs, rate, { ...LABELS, what, unit: perSecond }, goal),
    ...pairRows(pairs, cpuRate, { ...LABELS, what, unit: perCpuSecond }),
  ]
}

export function fanOutRows(): Promise<Row[]> {
  return withServers(async (...servers) => {
    const rows: Row[] = []
    for (const protocol of PROTOCOLS) {
      for (const sockets of [1, 100, 1000]) rows.push(...(await toSockets(servers, protocol, sockets)))
    }
    return rows
  })
}
