/** How harnesses, guests and watchers are connected: one stream each, of which a break is the end. */
import { binaryCodec } from '../client/binary.js'
import {
  jsonCodec,
  type StreamOptions,
  type SynicdClient,
  SynicdError,
  SynicdProblem,
  type SynicdStream,
} from '../client/index.js'
import type { Figures } from './figures.js'
import type { Ledger } from './ledger.js'
import type { LoadPlan } from './plan.js'
import type { Troubles } from './troubles.js'

/** What all of one run share. */
export interface Run {
  readonly plan: LoadPlan
  readonly client: SynicdClient
  readonly figures: Figures
  readonly troubles: Troubles
  /** No more is to be sent. */
  readonly halted: AbortSignal
  /** The run cannot go on. */
  readonly fail: (reason: unknown) => void
}

/** A partition under load. */
export interface Target {
  readonly pid: string
  readonly ledger: Ledger
}

export function connect(run: Run, { pid }: Target, options: StreamOptions): SynicdStream {
  const codec = run.plan.protocol === 'bin' ? binaryCodec : jsonCodec
  const stream = run.client.stream(pid, { ...options, codec, reconnect: false })
  stream.ended.then((reason) => {
    if (reason !== undefined) run.fail(reason)
  })
  return stream
}

/** A batch was rejected. A refusal would only come again: it ends the run. Of a break, `ended` tells. */
export function rejected(run: Run, reason: unknown): void {
  if (reason instanceof SynicdProblem) run.troubles.refuse(reason)
  else if (reason instanceof SynicdError) return
  run.fail(reason)
}
