// Realtime partitions in one process: how late their timers are served, and how a socket fares meanwhile.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { median, summary } from '../src/bench/timing.js'
import { RealtimeClock } from '../src/engine/clock.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import { Service } from '../src/engine/service.js'
import type { Row } from './measure.js'

const FEW = 100
const MANY = 10_000
const ROUNDS = 5
/** After all timers have been started, or stopped. */
const SETTLE_MS = 500
const LATENESS_SAMPLES = 4_000_000
const PINGS = 1000
/** Pings are asked for at random moments, so that they do not fall into step with the timers. */
const PING_GAP_MS = 2

/** A periodic timer of 1 ms that sends messages to SINT2. */
const ARM = [
  { op: 'msr.write', vcpu: 0, msr: 'SCONTROL', value: 1 },
  { op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 0xf3 },
  { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: 0x10001 },
  { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0x2_0003 },
  { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 10_000 },
]

interface Percentiles {
  readonly p50: number
  readonly p99: number
}

function percentiles(values: Float64Array): Percentiles {
  const sorted = values.slice().sort()
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]
  return { p50: at(0.5), p99: at(0.99) }
}

/** Partitions whose timers all run, or none: then they cost nothing. */
class Fleet {
  readonly #late = new Float64Array(LATENESS_SAMPLES)
  #served = 0
  readonly #clock = new RealtimeClock((latenessMs) => {
    if (this.#served < LATENESS_SAMPLES) this.#late[this.#served++] = latenessMs
  })
  readonly #hosts: PartitionHost[]

  constructor(count: number) {
    const service = new Service({ logOpsMax: 64 })
    this.#hosts = Array.from({ length: count }, () => {
      const host = service.create({ profile: 'kvm-synic2', clock: 'realtime' })
      host.applyBatch([...ARM, { op: 'partition.pause' }])
      // Followed by a clock that tells, instead of the service's own.
      this.#clock.add(host)
      return host
    })
  }

  /** What `during` gives while all timers run, and how late they were served. */
  async run<T>(during: () => Promise<T>): Promise<{ result: T; late: Percentiles }> {
    for (const host of this.#hosts) host.applyBatch([{ op: 'partition.resume' }])
    // What starting them left behind is not collected at the cost of the round.
    globalThis.gc?.()
    await sleep(SETTLE_MS)
    this.#served = 0
    const result = await during()
    const late = percentiles(this.#late.subarray(0, this.#served))
    for (const host of this.#hosts) host.applyBatch([{ op: 'partition.pause' }])
    await sleep(SETTLE_MS)
    return { result, late }
  }

  close(): void {
    this.#clock.close()
  }
}

/** Round trips of a client process to this one, milliseconds. */
async function pings(client: ChildProcess): Promise<Percentiles> {
  const answer = once(client, 'message')
  client.send('go')
  const [times] = (await answer) as [number[]]
  return percentiles(Float64Array.from(times))
}

/** The client's side, a byte at a time; one that had to wait for another counts from when it was to go. */
async function client(port: number): Promise<void> {
  const socket = dial({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const cell = new Int32Array(new SharedArrayBuffer(4))
  const byte = Buffer.alloc(1)
  process.on('message', async () => {
    const times: number[] = []
    let meantMs = performance.now()
    for (let i = 0; i < PINGS; i++) {
      meantMs += 2 * PING_GAP_MS * Math.random()
      const waitMs = meantMs - performance.now()
      if (waitMs > 0) {
        // Nothing is under way, so the whole process may sleep, and more exactly than a timer would.
        Atomics.wait(cell, 0, 0, waitMs)
        meantMs = performance.now()
      }
      socket.write(byte)
      await once(socket, 'data')
      times.push(performance.now() - meantMs)
    }
    process.send?.(times)
  })
  process.send?.('ready')
}

function row(what: string, values: readonly number[]): Row {
  return { what, unit: 'ms', ...summary(values) }
}

async function fewRows(): Promise<Row[]> {
  const fleet = new Fleet(FEW)
  const late: Percentiles[] = []
  for (let round = 0; round < ROUNDS; round++) late.push((await fleet.run(() => sleep(1000))).late)
  fleet.close()
  return (['p50', 'p99'] as const).map((p) =>
    row(
      `${FEW} timers of 1 ms served late, ${p}`,
      late.map((round) => round[p]),
    ),
  )
}

async function manyRows(peer: ChildProcess): Promise<Row[]> {
  const fleet = new Fleet(MANY)
  const late: Percentiles[] = []
  const alone: Percentiles[] = []
  const beside: Percentiles[] = []
  await pings(peer)
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await pings(peer))
    const { result, late: lateness } = await fleet.run(() => pings(peer))
    beside.push(result)
    late.push(lateness)
  }
  fleet.close()
  return (['p50', 'p99'] as const).flatMap((p) => {
    const of = (rounds: readonly Percentiles[]) => rounds.map((round) => round[p])
    const ratio = median(of(beside).map((ms, i) => ms / of(alone)[i]))
    return [
      row(`${MANY} timers of 1 ms served late, ${p}`, of(late)),
      row(`TCP echo with no timer, ${p}`, of(alone)),
      { ...row(`TCP echo beside ${MANY} timers, ${p}`, of(beside)), ratio, baseline: 'none' },
    ]
  })
}

export async function clockRows(): Promise<Row[]> {
  const server = createServer({ noDelay: true }, (socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const peer = fork(fileURLToPath(import.meta.url), ['--echo-client', String(port)], { execArgv: [] })
  await once(peer, 'message')
  try {
    return [...(await fewRows()), ...(await manyRows(peer))]
  } finally {
    peer.kill()
    server.close()
  }
}

if (process.argv[2] === '--echo-client') await client(Number(process.argv[3]))
