// The server processes that streams are measured with.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { bundled } from '../../scripts/bundled.js'

export type ServerKind = 'synicd' | 'plain'

/** What is measured is what ships: another compiler's output can be half as fast. */
const PROGRAM = await bundled('bench/stream/server-process.ts')

export class Server {
  port = 0
  private constructor(
    readonly kind: ServerKind,
    private readonly child: ChildProcess,
  ) {}

  static async start(kind: ServerKind): Promise<Server> {
    const server = new Server(kind, fork(PROGRAM, [kind], { execArgv: ['--expose-gc'] }))
    server.port = await server.#reply()
    return server
  }

  /** CPU time the server has used, microseconds: unlike wall time it does not see the load generator. */
  cpuMicros(): Promise<number> {
    return this.#ask('cpu')
  }

  /** Resident bytes, after garbage was collected. */
  rssBytes(): Promise<number> {
    return this.#ask('rss')
  }

  /** Counts and follows from now on, or does not. */
  async meter(on: boolean): Promise<void> {
    await this.#ask(on ? 'metered' : 'unmetered')
  }

  stop(): void {
    this.child.kill()
  }

  #ask(question: 'cpu' | 'rss' | 'metered' | 'unmetered'): Promise<number> {
    const answer = this.#reply()
    this.child.send(question)
    return answer
  }

  async #reply(): Promise<number> {
    return (await once(this.child, 'message'))[0] as number
  }
}

/** Runs `measure` with both servers. */
export async function withServers<T>(
  measure: (subject: Server, baseline: Server) => Promise<T>,
  baseline: ServerKind = 'plain',
): Promise<T> {
  const servers = [await Server.start('synicd'), await Server.start(baseline)]
  try {
    return await measure(servers[0], servers[1])
  } finally {
    for (const server of servers) server.stop()
  }
}
