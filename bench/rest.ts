// REST against bare Fastify: both servers in processes of their own, loaded in turn, round by round.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import autocannon from 'autocannon'
import { bundled } from '../scripts/bundled.js'
import { median, summary } from '../src/bench/timing.js'
import type { Row } from './measure.js'

const ROUNDS = 6
const SECONDS = 2
const CONNECTIONS = 8

const PROGRAM = await bundled('bench/rest-process.ts')

class Server {
  address = ''
  private constructor(private readonly child: ChildProcess) {}

  static async start(which: 'bare' | 'synicd'): Promise<Server> {
    const server = new Server(fork(PROGRAM, [which], { execArgv: [] }))
    server.address = (await server.#reply<{ address: string }>()).address
    return server
  }

  /** CPU time the server has used, microseconds: unlike wall time it does not see the load generator. */
  async cpuMicros(): Promise<number> {
    const answer = this.#reply<{ cpuMicros: number }>()
    this.child.send('cpu')
    return (await answer).cpuMicros
  }

  stop(): void {
    this.child.kill()
  }

  async #reply<T>(): Promise<T> {
    return (await once(this.child, 'message'))[0] as T
  }
}

interface Load {
  readonly method: 'PUT' | 'POST'
  readonly path: string
  readonly body: string
}

/** Requests served per second of the server's own CPU time. */
async function perCpuSecond(server: Server, load: Load): Promise<number> {
  const before = await server.cpuMicros()
  const result = await autocannon({
    url: server.address + load.path,
    method: load.method,
    body: load.body,
    headers: { 'content-type': 'application/json' },
    connections: CONNECTIONS,
    duration: SECONDS,
  })
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${load.path}: ${result.non2xx} refused, ${result.errors} failed`)
  return result.requests.total / (((await server.cpuMicros()) - before) / 1e6)
}

/** @param things ops a request carries */
async function compare(
  servers: Server[],
  load: Load,
  what: string,
  things: number,
  goal: number,
): Promise<Row[]> {
  const [bare, subject] = servers
  const rates: { bare: number[]; subject: number[] } = { bare: [], subject: [] }
  await perCpuSecond(bare, load)
  await perCpuSecond(subject, load)
  for (let round = 0; round < ROUNDS; round++) {
    rates.bare.push((await perCpuSecond(bare, load)) * things)
    rates.subject.push((await perCpuSecond(subject, load)) * things)
  }
  const ratio = median(rates.subject.map((rate, i) => rate / rates.bare[i]))
  const unit = things === 1 ? 'req/cpu-s' : 'ops/cpu-s'
  return [
    { what: `bare route, ${what}`, unit, ...summary(rates.bare) },
    {
      what: `synicd, ${what}`,
      unit,
      ...summary(rates.subject),
      ratio,
      baseline: 'the bare route',
      goal: `>= ${goal}`,
      met: ratio >= goal,
    },
  ]
}

function batch(ops: number): Load {
  const body = JSON.stringify({
    ops: Array.from({ length: ops }, (_, i) => ({
      op: 'msr.write',
      vcpu: i % 4,
      msr: '0x40000093',
      value: `0x${(0x100f0 + (i % 8)).toString(16)}`,
    })),
  })
  return { method: 'POST', path: '/v1/partitions/bench/ops', body }
}

export async function restRows(): Promise<Row[]> {
  const servers = [await Server.start('bare'), await Server.start('synicd')]
  try {
    const single: Load = {
      method: 'PUT',
      path: '/v1/partitions/bench/vcpus/0/msrs/SINT3',
      body: '{"value":"0x100f3"}',
    }
    return [
      ...(await compare(servers, single, 'single MSR write', 1, 0.85)),
      ...(await compare(servers, batch(256), 'batch of 256', 256, 0.5)),
      ...(await compare(servers, batch(1024), 'batch of 1,024', 1024, 0.5)),
    ]
  } finally {
    for (const server of servers) server.stop()
  }
}
