// What counting ops and following deliveries costs: message cycles through a host with and without its meter,
// and through a server to a subscriber.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { bundled } from '../../scripts/bundled.js'
import type { Row } from '../measure.js'
import { Audience, type Deliveries } from './audience.js'
import { BIN_PROTOCOL, batchOf, messageCycles } from './frames.js'
import { inSlices, inTurn, type Pairs, pairRows, perCpuSecond, perSecond, ratioAtLeast } from './rows.js'
import { Server } from './server.js'

const PROGRAM = await bundled('bench/stream/metering-process.ts')
/** Two processes that do the same can differ by a tenth, by what V8 draws in: so there are several. */
const PROCESSES = 3
const ROUNDS = 5

class Host {
  readonly #child
  constructor(which: 'metered' | 'silent') {
    this.#child = fork(PROGRAM, [which], { execArgv: [] })
  }

  /** Resolves once it can be asked. */
  async ready(): Promise<this> {
    await once(this.#child, 'message')
    return this
  }

  /** Thousands of message cycles a second. */
  async round(): Promise<number> {
    const answer = once(this.#child, 'message')
    this.#child.send('round')
    return 1e6 / ((await answer)[0] as number)
  }

  stop(): void {
    this.#child.kill()
  }
}

/** Messages of a frame, and frames under way: of more, less is besides what is measured. */
const LOADS = [
  { messages: 1, window: 64 },
  { messages: 64, window: 8 },
] as const
type Load = (typeof LOADS)[number]
/** Slices so short, and so many, that what a busy host does to the one it does to the other. */
const SERVER_ROUNDS = 40
const SLICES = 4
const SLICE_MS = 40
const WARM_UP_MS = 1000

/** The whole way: batches in, deliveries out to a subscriber, each with its four stages. */
async function throughServers(load: Load): Promise<Row[]> {
  const all: Pairs<Deliveries> = { subject: [], baseline: [] }
  for (let i = 0; i < PROCESSES; i++) {
    const server = await Server.start('synicd')
    try {
      const pairs = await pairsOf(load, server)
      all.subject.push(...pairs.subject)
      all.baseline.push(...pairs.baseline)
    } finally {
      server.stop()
    }
  }
  const rate = (of: Deliveries) => of.perCpuSecond / 1e3
  const labels = { subject: 'metered', baseline: 'without metrics', unit: perCpuSecond }
  const what = `message cycles to a subscriber, ${load.messages} a frame`
  return pairRows(all, rate, { ...labels, what }, ratioAtLeast(0.97))
}

async function pairsOf({ messages, window }: Load, server: Server): Promise<Pairs<Deliveries>> {
  const batch = await batchOf(server, BIN_PROTOCOL, messageCycles(messages))
  const audience = await Audience.connect(server, batch, batch, messages, 1)
  // Not counted: what is new to a server is compiled first, on another core.
  await audience.flood(WARM_UP_MS, window)
  const slice = (on: boolean) => async () => {
    await server.meter(on)
    return audience.flood(SLICE_MS, window)
  }
  const pairs = await inSlices(SERVER_ROUNDS, SLICES, slice(true), slice(false), mean)
  audience.end()
  return pairs
}

function mean(parts: readonly Deliveries[]): Deliveries {
  const of = (what: keyof Deliveries) => parts.reduce((sum, each) => sum + each[what], 0) / parts.length
  return { perSecond: of('perSecond'), perCpuSecond: of('perCpuSecond') }
}

export async function meteringRows(): Promise<Row[]> {
  const rows: Row[] = []
  for (const load of LOADS) rows.push(...(await throughServers(load)))
  return [...rows, ...(await inHosts())]
}

/** The hosts alone: neither frames nor sockets. */
async function inHosts(): Promise<Row[]> {
  const all: Pairs<number> = { subject: [], baseline: [] }
  for (let i = 0; i < PROCESSES; i++) {
    const metered = await new Host('metered').ready()
    const silent = await new Host('silent').ready()
    const pairs = await inTurn(
      ROUNDS,
      () => metered.round(),
      () => silent.round(),
    )
    all.subject.push(...pairs.subject)
    all.baseline.push(...pairs.baseline)
    metered.stop()
    silent.stop()
  }
  const labels = {
    what: 'message cycles of the engine alone',
    unit: perSecond,
    subject: 'metered',
    baseline: 'without metrics',
  }
  return pairRows(all, (each) => each, labels)
}
