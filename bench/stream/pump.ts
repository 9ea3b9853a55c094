// Clients that keep a number of frames in flight: each answer lets the next frame go.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Batch, BIN_PROTOCOL } from './frames.js'
import { Peer, type Reader } from './peer.js'
import type { Server } from './server.js'

export interface Rate {
  readonly done: number
  readonly seconds: number
  /** Of the server's CPU time. */
  readonly cpuSeconds: number
  /** Milliseconds from a frame to its answer; with one frame in flight only. */
  readonly roundTrips: readonly number[]
}

export const perSecondOf = ({ done, seconds }: Rate) => done / seconds
export const perCpuSecondOf = ({ done, cpuSeconds }: Rate) => done / cpuSeconds

export function mergeRates(parts: readonly Rate[]): Rate {
  const sum = (figure: (of: Rate) => number) => parts.reduce((total, part) => total + figure(part), 0)
  return {
    done: sum(({ done }) => done),
    seconds: sum(({ seconds }) => seconds),
    cpuSeconds: sum(({ cpuSeconds }) => cpuSeconds),
    roundTrips: parts.flatMap(({ roundTrips }) => roundTrips),
  }
}

class Pump implements Reader {
  answered = 0
  readonly roundTrips: number[] = []
  readonly #frames: Buffer
  readonly #unitBytes: number
  #sent = 0
  #sentAtMs = 0
  #running = false
  #drained: (() => void) | null = null

  constructor(
    private readonly peer: Peer,
    private readonly batch: Batch,
    private readonly window: number,
  ) {
    peer.reader = this
    this.#frames = Buffer.concat(Array.from({ length: window }, () => batch.frame))
    this.#unitBytes = batch.answerBytes
  }

  /** Binary answers of one turn share a message. */
  message(payloadBytes: number): void {
    this.answered += this.batch.protocol === BIN_PROTOCOL ? payloadBytes / this.#unitBytes : 1
  }

  chunkRead(): void {
    const free = this.window - (this.#sent - this.answered)
    if (this.window === 1 && free === 1) this.roundTrips.push(performance.now() - this.#sentAtMs)
    if (this.#running && free > 0) this.#send(free)
    else if (free === this.window) this.#drained?.()
  }

  start(): void {
    this.roundTrips.length = 0
    this.#running = true
    this.#send(this.window)
  }

  /** Resolves once everything is answered. */
  stop(): Promise<void> {
    this.#running = false
    return new Promise((resolve) => {
      this.#drained = resolve
    })
  }

  end(): void {
    this.peer.end()
  }

  #send(count: number): void {
    this.#sent += count
    this.#sentAtMs = performance.now()
    this.peer.send(this.#frames.subarray(0, count * this.batch.frame.length))
  }
}

/** Some clients of one server, each with `window` frames in flight. */
export class Pumps {
  private constructor(
    private readonly server: Server,
    private readonly pumps: readonly Pump[],
  ) {}

  static async connect(
    server: Server,
    path: string,
    clients: number,
    batch: Batch,
    window: number,
  ): Promise<Pumps> {
    const dial = () => Peer.connect(server.port, path, batch.protocol)
    const peers = await Promise.all(Array.from({ length: clients }, dial))
    return new Pumps(
      server,
      peers.map((peer) => new Pump(peer, batch, window)),
    )
  }

  /** @param things ops in a frame */
  async run(ms: number, things: number): Promise<Rate> {
    const { pumps } = this
    const answered = () => pumps.reduce((sum, pump) => sum + pump.answered, 0)
    const before = { answered: answered(), cpuMicros: await this.server.cpuMicros() }
    const startMs = performance.now()
    for (const pump of pumps) pump.start()
    await sleep(ms)
    await Promise.all(pumps.map((pump) => pump.stop()))
    const seconds = (performance.now() - startMs) / 1e3
    const done = (answered() - before.answered) * things
    const cpuSeconds = ((await this.server.cpuMicros()) - before.cpuMicros) / 1e6
    return {
      done,
      seconds,
      cpuSeconds,
      roundTrips: pumps.flatMap(({ roundTrips }) => roundTrips.slice()),
    }
  }

  end(): void {
    for (const pump of this.pumps) pump.end()
  }
}
