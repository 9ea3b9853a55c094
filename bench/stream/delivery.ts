// How long a message takes from its post to a subscriber's socket, and whether a reader that sleeps matters.
import { summary } from '../../src/bench/timing.js'
import type { Row } from '../measure.js'
import { Audience } from './audience.js'
import {
  type Batch,
  BIN_PROTOCOL,
  batchOf,
  MESSAGES_ONLY,
  messageCycles,
  PROTOCOLS,
  shortName,
} from './frames.js'
import { Peer, type ProtocolName } from './peer.js'
import { inSlices, inTurn, type Pairs, pairRows, percentile, perSecond, ratioAtMost } from './rows.js'
import { type Server, withServers } from './server.js'

/** Many and short: a busy host holds up whoever runs for tens of milliseconds, now and then. */
const ROUNDS = 15
const ROUND_MS = 400
/** Of a round in which latencies are compared. */
const SLICES = 8
const SLICE_MS = 50
/** Not counted: what is new to a server is compiled first, on another core. */
const WARM_UP_MS = 1000
/** Posts of one message each under way, for the most that can be delivered. */
const WINDOW = 64
const OPS_PER_MESSAGE = 4

const PERCENTILES = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const

/** The second of two rounds. */
async function mostPerSecond(audience: Audience): Promise<number> {
  await audience.flood(ROUND_MS / 2, WINDOW)
  return (await audience.flood(ROUND_MS / 2, WINDOW)).perSecond
}

function latencyRows(
  pairs: Pairs<number[]>,
  labels: { what: string; subject: string; baseline: string },
  p99AtMost?: number,
): Row[] {
  return PERCENTILES.flatMap(([name, p]) => {
    const goal = name === 'p99' && p99AtMost !== undefined ? ratioAtMost(p99AtMost) : undefined
    const figure = (tookMs: number[]) => percentile(tookMs, p) * 1e3
    return pairRows(pairs, figure, { ...labels, what: `${labels.what}, ${name}`, unit: 'us' }, goal)
  })
}

/** Both at the same rate, which both can bear; and synicd at half of the most that it can. */
async function againstPlain(servers: readonly Server[], protocol: ProtocolName): Promise<Row[]> {
  const posted = await batchOf(servers[0], BIN_PROTOCOL, messageCycles(1))
  const told = await batchOf(servers[0], protocol, messageCycles(1))
  const [subject, baseline] = await Promise.all(
    servers.map((server) => Audience.connect(server, posted, told, 1, 1)),
  )
  for (const each of [subject, baseline]) await each.flood(WARM_UP_MS, WINDOW)
  const most = await mostPerSecond(subject)
  const common = Math.min(most, await mostPerSecond(baseline)) / 2
  const pairs = await inSlices(
    ROUNDS,
    SLICES,
    () => subject.flow(SLICE_MS, common),
    () => baseline.flow(SLICE_MS, common),
    (parts) => parts.flat(),
  )
  const atHalf = (await subject.flow(ROUND_MS, most / 2)).map((ms) => ms * 1e3)
  subject.end()
  baseline.end()
  const at = (rate: number) => `${shortName(protocol)}, delivery at ${Math.round(rate / 1e3)} k/s`
  return [
    ...latencyRows(pairs, { what: at(common), subject: 'synicd', baseline: 'plain ws' }, 1.3),
    ...PERCENTILES.map(([name, p]) => {
      const values = [percentile(atHalf, p)]
      return { what: `synicd, ${at(most / 2)} (half its most), ${name}`, unit: 'us', ...summary(values) }
    }),
  ]
}

/** What `measure` gives while a client that wants the same messages reads nothing. */
async function besideSleeper<T>(server: Server, batch: Batch, measure: () => Promise<T>): Promise<T> {
  const sleeper = await Peer.connect(server.port, MESSAGES_ONLY, batch.protocol)
  sleeper.stopReading()
  const result = await measure()
  sleeper.end()
  return result
}

async function slowReader(server: Server): Promise<Row[]> {
  const batch = await batchOf(server, BIN_PROTOCOL, messageCycles(1))
  const audience = await Audience.connect(server, batch, batch, 1, 1)
  await audience.flood(WARM_UP_MS, WINDOW)
  const rate = (await mostPerSecond(audience)) / 2
  const flow = () => audience.flow(ROUND_MS, rate)
  const flood = async () => ((await audience.flood(ROUND_MS, WINDOW)).perSecond * OPS_PER_MESSAGE) / 1e3
  const latencies = await inTurn(ROUNDS, () => besideSleeper(server, batch, flow), flow)
  const ops = await inTurn(ROUNDS, () => besideSleeper(server, batch, flood), flood)
  audience.end()
  const labels = { subject: 'beside a reader that sleeps', baseline: 'without it' }
  const what = `bin, delivery at ${Math.round(rate / 1e3)} k/s`
  return [
    ...latencyRows(latencies, { ...labels, what }),
    ...pairRows(ops, (each) => each, { ...labels, what: 'bin, ops of message cycles', unit: perSecond }),
  ]
}

export function deliveryRows(): Promise<Row[]> {
  return withServers(async (...servers) => [
    ...(await againstPlain(servers, PROTOCOLS[0])),
    ...(await againstPlain(servers, PROTOCOLS[1])),
    ...(await slowReader(servers[0])),
  ])
}
