// Replays a file, whatever it is: opens it, tells its format, runs it on a target, closes the target.
import type { Readable } from 'node:stream'
import { replayFtrace } from './ftrace-replay.js'
import type { FtraceSummary } from './ftrace-report.js'
import { HttpTarget } from './http-target.js'
import { ReplayInputError, reasonOf } from './input-error.js'
import { openInput, readLines } from './lines.js'
import { LocalTarget } from './local-target.js'
import type { ReplayTarget } from './target.js'
import { replayTrace, type TraceOptions, type TraceReport } from './trace-replay.js'

export const FORMATS = ['trace', 'ftrace'] as const
type Format = (typeof FORMATS)[number]
export type ReplayReport = TraceReport | FtraceSummary

export interface ReplayOptions extends TraceOptions {
  /** Told by the file itself unless given. */
  readonly format?: Format | undefined
  /** A running server; undefined: in this process. */
  readonly url?: string | undefined
  readonly token?: string | undefined
  /** What to replay on, if neither of these. */
  readonly target?: ReplayTarget
  /** Standard input, for the file name `-`. */
  readonly stdin: Readable
  /** Bytes read so far, and of how many; the latter is not known of a pipe. */
  readonly onProgress?: ((bytes: number, total: number | undefined) => void) | undefined
}

export async function replayFile(path: string, options: ReplayOptions): Promise<ReplayReport> {
  const { url, token, onProgress } = options
  const target = options.target ?? (url === undefined ? new LocalTarget() : new HttpTarget(url, token))
  const input = await openInput(path, options.stdin)
  const lines = readLines(input, (bytes) => onProgress?.(bytes, input.bytes))
  try {
    const report = await replayLines(input.name, lines, target, options)
    await target.close()
    return report
  } catch (error) {
    // What went wrong first is what counts: a server that is gone cannot delete either.
    await target.close().catch(() => undefined)
    throw error
  } finally {
    input.stream.destroy()
  }
}

/** Did the replay find the recording and the simulation at one? */
export function isClean(report: ReplayReport): boolean {
  return (report.format === 'trace' ? report.differences : report.mismatch_count) === 0
}

async function replayLines(
  name: string,
  lines: AsyncGenerator<string[]>,
  target: ReplayTarget,
  options: ReplayOptions,
): Promise<ReplayReport> {
  const [format, all] = await detect(name, lines, options.format)
  if (format === 'trace') return replayTrace(name, all, target, options)
  if (options.snapshot !== undefined) {
    throw new ReplayInputError('--snapshot: kernel events carry no number a snapshot could be matched with')
  }
  return replayFtrace(name, all, target, options)
}

/** The first line that is not blank decides: a JSON object begins a trace. */
async function detect(
  name: string,
  lines: AsyncGenerator<string[]>,
  given: Format | undefined,
): Promise<[Format, AsyncIterable<readonly string[]>]> {
  const held: string[][] = []
  let first: string | undefined
  while (first === undefined) {
    const next = await lines.next()
    if (next.done === true) break
    held.push(next.value)
    first = next.value.find((line) => line.trim() !== '')
  }
  if (first === undefined) throw new ReplayInputError(`${name}: the file is empty`)
  async function* all(): AsyncGenerator<readonly string[]> {
    yield* held
    yield* lines
  }
  return [given ?? (first.trimStart().startsWith('{') ? 'trace' : 'ftrace'), all()]
}

/** A snapshot document from a file. */
export function parseSnapshot(path: string, text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch (error) {
    throw new ReplayInputError(`--snapshot ${path}: not JSON (${reasonOf(error)})`)
  }
  throw new ReplayInputError(`--snapshot ${path}: a snapshot is one JSON object`)
}
