/** JSON traces for tests, replayed in this process. */
import type { WireOp } from '../../src/api/op-decode.js'
import { LocalTarget } from '../../src/replay/local-target.js'
import type { ReplayTarget } from '../../src/replay/target.js'
import { replayTrace, type TraceOptions, type TraceReport } from '../../src/replay/trace-replay.js'

export const HEADER = { trace: 't', profile: 'kvm-synic2', gpa_limit: '0x100000' }

export async function replayJson(
  lines: readonly unknown[],
  options: TraceOptions = {},
  target: ReplayTarget = new LocalTarget(),
): Promise<TraceReport> {
  return replayTexts(
    lines.map((line) => JSON.stringify(line)),
    options,
    target,
  )
}

export async function replayTexts(
  lines: readonly string[],
  options: TraceOptions = {},
  target: ReplayTarget = new LocalTarget(),
): Promise<TraceReport> {
  async function* batches() {
    yield lines
  }
  return replayTrace('t.jsonl', batches(), target, options)
}

/** Remembers what it was asked for; answers as the partition in this process. */
export class SpyTarget extends LocalTarget {
  readonly batches: number[] = []
  config: unknown

  override async create(config: Parameters<LocalTarget['create']>[0]): Promise<void> {
    this.config = config
    await super.create(config)
  }

  override async apply(ops: readonly WireOp[]) {
    this.batches.push(ops.length)
    return super.apply(ops)
  }
}
