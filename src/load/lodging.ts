/** The partitions of a load: made at its beginning, gone at its end, whichever way it ends. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SynicdClient, SynicdProblem } from '../client/index.js'
import type { LoadProfile } from './plan.js'

const LABELS = { by: 'synicd-load' }
/** The server counts requests by the second; a refused one may be asked again in the next. */
const RATE_WINDOW_MS = 1000
/** How long deletions are tried again. */
const PATIENCE_MS = 30_000

export class Lodging {
  readonly #client: SynicdClient
  readonly #name = `load-${randomBytes(4).toString('hex')}`
  /** Those that may be there: also where the answer was lost. */
  readonly #ids = new Set<string>()

  /** @param onLimit is told how many requests a second the server takes of one address, where it says so */
  constructor(
    client: SynicdClient,
    private readonly onLimit: (perSecond: number) => void = () => {},
  ) {
    this.#client = client
  }

  get ids(): readonly string[] {
    return [...this.#ids]
  }

  async create(profile: LoadProfile, vcpus: number): Promise<string> {
    // A name of our own: what is made and not answered can be deleted, too.
    const id = `${this.#name}-${this.#ids.size}`
    this.#ids.add(id)
    try {
      const { headers } = await this.#client.call.createPartition({
        body: { id, profile, vcpus, labels: LABELS },
      })
      const limit = headers.get('x-ratelimit-limit')
      if (limit !== null) this.onLimit(Number(limit))
      return id
    } catch (reason) {
      if (reason instanceof SynicdProblem) this.#ids.delete(id)
      throw reason
    }
  }

  /** Never rejected. The ids that are still there, as far as the server says. */
  async clear(): Promise<readonly string[]> {
    const untilMs = performance.now() + PATIENCE_MS
    return (await Promise.all(this.ids.map((id) => this.#delete(id, untilMs)))).flat()
  }

  async #delete(pid: string, untilMs: number): Promise<string[]> {
    try {
      await this.#client.partition(pid).delete()
      return []
    } catch (reason) {
      if (!(reason instanceof SynicdProblem) || reason.code === 'partition-not-found') return []
      if (reason.code !== 'too-many-requests' || performance.now() > untilMs) return [pid]
    }
    await sleep(RATE_WINDOW_MS)
    return this.#delete(pid, untilMs)
  }
}
