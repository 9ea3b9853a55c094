// The server processes that streams are measured with.
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

export type ServerKind = 'synicd' | 'plain'

const root = join(import.meta.dirname, '..', '..')
const modified = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** What is measured is what ships: another compiler's output can be half as fast. */
export function buildIfOld(): void {
  const sources = ['src', 'routes'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((path) =>
      join(root, folder, path),
    ),
  )
  const newestMs = Math.max(...sources.map(modified))
  if (modified(join(root, 'dist', 'src', 'main.js')) > newestMs) return
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs')], { stdio: 'inherit' })
  if (status !== 0) throw new Error('the build failed')
}

export class Server {
  port = 0
  private constructor(
    readonly kind: ServerKind,
    private readonly child: ChildProcess,
  ) {}

  static async start(kind: ServerKind): Promise<Server> {
    const script = join(import.meta.dirname, 'server.mjs')
    const server = new Server(kind, fork(script, [kind], { execArgv: ['--expose-gc'] }))
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

  stop(): void {
    this.child.kill()
  }

  #ask(question: 'cpu' | 'rss'): Promise<number> {
    const answer = this.#reply()
    this.child.send(question)
    return answer
  }

  async #reply(): Promise<number> {
    return (await once(this.child, 'message'))[0] as number
  }
}

/** Runs `measure` with both servers. */
export async function withServers<T>(measure: (subject: Server, baseline: Server) => Promise<T>): Promise<T> {
  buildIfOld()
  const servers = [await Server.start('synicd'), await Server.start('plain')]
  try {
    return await measure(servers[0], servers[1])
  } finally {
    for (const server of servers) server.stop()
  }
}
