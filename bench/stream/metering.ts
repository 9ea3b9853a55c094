// What counting ops and following deliveries costs: message cycles through a host with and without its meter.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { buildIfOld } from '../../scripts/build-if-old.js'
import type { Row } from '../measure.js'
import { inTurn, type Pairs, pairRows, perSecond, ratioAtLeast } from './rows.js'

/** Two processes can differ though they do the same: so there are several of each. */
const PROCESSES = 3
const ROUNDS = 5

class Host {
  readonly #child
  constructor(which: 'metered' | 'silent') {
    this.#child = fork(join(import.meta.dirname, 'metering.mjs'), [which], { execArgv: [] })
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

export async function meteringRows(): Promise<Row[]> {
  buildIfOld()
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
  const labels = { what: 'message cycles', unit: perSecond, subject: 'metered', baseline: 'without metrics' }
  return pairRows(all, (each) => each, labels, ratioAtLeast(0.97))
}
