// Ops over a stream against a plain `ws` server that answers each message with as many bytes.
import type { Row } from '../measure.js'
import {
  ANSWERS_ONLY,
  type Batch,
  BIN_PROTOCOL,
  batchOf,
  JSON_PROTOCOL,
  messageCycles,
  PROTOCOLS,
  shortName,
  sintWrites,
} from './frames.js'
import type { ProtocolName } from './peer.js'
import { mergeRates, Pumps, perCpuSecondOf, perSecondOf, type Rate } from './pump.js'
import {
  type Goal,
  inSlices,
  inTurn,
  medianAtLeast,
  type Pairs,
  pairRows,
  perCpuSecond,
  percentile,
  perSecond,
  ratioAtLeast,
} from './rows.js'
import { type Server, withServers } from './server.js'

/** Many and short: a busy host then weighs on both alike. */
const ROUNDS = 15
const ROUND_MS = 150
/** One op at a time: the host changes its speed more often than that. */
const SLICES = 16
const SLICE_MS = 10
/** Not counted: a server that is asked something new compiles it first, on another core. */
const WARM_UP_MS = 1000
const LABELS = { subject: 'synicd', baseline: 'plain ws' }
const rate = (of: Rate) => perSecondOf(of) / 1e3
const cpuRate = (of: Rate) => perCpuSecondOf(of) / 1e3

interface Shape {
  readonly clients: number
  readonly window: number
}

const ALONE: Shape = { clients: 1, window: 1 }
const CROWD: Shape = { clients: 8, window: 64 }
const BATCHES: Shape = { clients: 4, window: 4 }

async function measure(
  servers: readonly Server[],
  batch: Batch,
  { clients, window }: Shape,
  things: number,
): Promise<Pairs<Rate>> {
  const [subject, baseline] = servers
  const answer = `/answer?bytes=${batch.answerBytes}`
  const pumps = await Pumps.connect(subject, ANSWERS_ONLY, clients, batch, window)
  const plain = await Pumps.connect(baseline, answer, clients, batch, window)
  for (const each of [pumps, plain]) await each.run(WARM_UP_MS, things)
  const pairs =
    window === 1
      ? await inSlices(
          ROUNDS,
          SLICES,
          () => pumps.run(SLICE_MS, things),
          () => plain.run(SLICE_MS, things),
          mergeRates,
        )
      : await inTurn(
          ROUNDS,
          () => pumps.run(ROUND_MS, things),
          () => plain.run(ROUND_MS, things),
        )
  pumps.end()
  plain.end()
  return pairs
}

/** Binary is the protocol for load, and the baseline parses nothing. */
const binaryGoal = (protocol: ProtocolName, least: number) =>
  protocol === BIN_PROTOCOL ? ratioAtLeast(least) : undefined

async function roundTrips(servers: readonly Server[], protocol: ProtocolName): Promise<Row[]> {
  const batch = await batchOf(servers[0], protocol, sintWrites(1))
  const pairs = await measure(servers, batch, ALONE, 1)
  const what = `${shortName(protocol)}, one op at a time`
  const micros = (p: number) => (of: Rate) => percentile(of.roundTrips, p) * 1e3
  return [
    ...pairRows(pairs, rate, { ...LABELS, what, unit: perSecond }, binaryGoal(protocol, 0.95)),
    ...pairRows(pairs, micros(0.5), { ...LABELS, what: `${what}, p50`, unit: 'us' }),
    ...pairRows(pairs, micros(0.99), { ...LABELS, what: `${what}, p99`, unit: 'us' }),
  ]
}

async function inFlight(servers: readonly Server[], protocol: ProtocolName): Promise<Row[]> {
  const batch = await batchOf(servers[0], protocol, sintWrites(1))
  const pairs = await measure(servers, batch, CROWD, 1)
  const what = `${shortName(protocol)}, 8 clients x 64 single ops`
  const goal = binaryGoal(protocol, 6)
  return [
    ...pairRows(pairs, rate, { ...LABELS, what, unit: perSecond }, goal),
    ...pairRows(pairs, cpuRate, { ...LABELS, what, unit: perCpuSecond }),
  ]
}

type WireOps = ReturnType<typeof sintWrites>

async function batches(
  servers: readonly Server[],
  protocol: ProtocolName,
  ops: WireOps,
  mix: string,
  goal?: Goal,
): Promise<Row[]> {
  const batch = await batchOf(servers[0], protocol, ops)
  const pairs = await measure(servers, batch, BATCHES, ops.length)
  const what = `${shortName(protocol)}, batches of ${ops.length} ${mix}`
  return [
    ...pairRows(pairs, rate, { ...LABELS, what, unit: perSecond }),
    ...pairRows(pairs, cpuRate, { ...LABELS, what, unit: perCpuSecond }, goal),
  ]
}

const GOALS: Readonly<Record<string, Goal>> = {
  [BIN_PROTOCOL]: medianAtLeast(8000, '8,000'),
  [JSON_PROTOCOL]: medianAtLeast(800, '800'),
}

async function rowsOf(protocol: ProtocolName, servers: readonly Server[]): Promise<Row[]> {
  const rows = [...(await roundTrips(servers, protocol)), ...(await inFlight(servers, protocol))]
  for (const count of [16, 256]) {
    rows.push(...(await batches(servers, protocol, sintWrites(count), 'SINT writes')))
  }
  rows.push(...(await batches(servers, protocol, sintWrites(1024), 'SINT writes', GOALS[protocol])))
  rows.push(...(await batches(servers, protocol, messageCycles(256), 'ops of message cycles')))
  return rows
}

/** Servers of its own for each protocol: what one of them keeps does not weigh on the other. */
export async function opRows(): Promise<Row[]> {
  const rows: Row[] = []
  for (const protocol of PROTOCOLS) {
    rows.push(...(await withServers((...servers) => rowsOf(protocol, servers))))
  }
  return rows
}
