/** Kernel trace text for tests: lines at a time, replayed in this process. */
import { replayFtrace } from '../../src/replay/ftrace-replay.js'
import type { FtraceSummary } from '../../src/replay/ftrace-report.js'
import { LocalTarget } from '../../src/replay/local-target.js'
import type { Overrides } from '../../src/replay/machine-config.js'

/** A line as `trace-cmd report` prints it; microseconds after the first second. */
export function eventLine(micros: number, event: string, pid = 613, cpu = 0): string {
  const seconds = 1 + Math.floor(micros / 1e6)
  const stamp = `${seconds}.${String(micros % 1e6).padStart(6, '0')}`
  return ` qemu-system-x86-${pid}   [${String(cpu).padStart(3, '0')}] ....  ${stamp}: ${event}`
}

/** The lines of events, ten microseconds apart, on one thread. */
function eventLines(events: readonly string[]): string[] {
  return events.map((event, i) => eventLine(10 * i, event))
}

async function* batchesOf(lines: readonly string[]) {
  yield lines
}

export async function replayLines(lines: readonly string[], options: Overrides = {}): Promise<FtraceSummary> {
  return replayFtrace('test', batchesOf(lines), new LocalTarget(), options)
}

export async function replayEvents(
  events: readonly string[],
  options: Overrides = {},
): Promise<FtraceSummary> {
  return replayLines(eventLines(events), options)
}
