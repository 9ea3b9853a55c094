/** `synicd load`: drives a running server with guests, harnesses and watchers, and tells the figures. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { SynicdClient, SynicdError, SynicdProblem } from '../../client/index.js'
import { VCPUS_MAX } from '../../hv/limits.js'
import { parseDuration } from '../../load/duration.js'
import { mixText, parseMix } from '../../load/mix.js'
import { LeftBehind, LoadError, type LoadPlan, PROTOCOLS } from '../../load/plan.js'
import { isClean, reportDocument } from '../../load/report.js'
import { type Observer, runLoad } from '../../load/run.js'
import { Screen } from '../../load/screen.js'
import { liveLines, outcomeText, planText, sampleLine } from '../../load/table.js'
import { PROFILE_NAMES } from '../../synic/profile.js'
import { Interrupts } from '../interrupts.js'
import type { Terminal } from '../program.js'

const EXAMPLES = `
A harness posts messages, signals event flags and writes MSRs in the shares of
--mix. A guest takes what arrives at its vCPU; how long that took is told as
p50, p99, p99.9 and the longest. All goes on in partitions that the load makes,
and deletes at the end. docs/load.md explains each figure.

The first tenth of the time, at most 10 s, is warm-up and not in the figures.
Ctrl-C ends early, with the figures so far; a second one does not wait for the
last messages, a third one leaves the partitions behind. Exit status: 0 all well,
1 something was lost, refused or failed, or the server went away,
2 it could not begin.

Examples:
  synicd load http://127.0.0.1:8440
  synicd load http://127.0.0.1:8440 --guests 64 --watchers 16 --duration 1m
  synicd load http://127.0.0.1:8440 --mix messages=1 --rate 1000 --batch 1 --json`

const REDRAW_MS = 500
/** Lines where no table can be redrawn: at most one a second, and ten in all. */
const LINE_MIN_MS = 1000
const LINES = 10

type Flags = Omit<LoadPlan, 'url' | 'durationMs' | 'keep'> & {
  readonly duration: number
  readonly keep?: boolean
  readonly json?: boolean
}

/** What a parser says of a value becomes commander's own line. */
function parsed<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
    }
  }
}

function whole(min: number, max: number): (text: string) => number {
  return parsed((text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) throw new RangeError(`give a whole number from ${min} to ${max}`)
    return value
  })
}

/** The client knows what an address is. */
const urlOf = (text: string) => new SynicdClient(text).url

export function loadCommand(terminal: Terminal): Command {
  const count = (flag: string, help: string, min: number, max: number, fallback: number) =>
    new Option(`--${flag} <count>`, help).argParser(whole(min, max)).default(fallback)
  const mix = parseMix('messages=8,events=1,registers=1')
  return new Command('load')
    .description('drive a running server with guests, harnesses and watchers, and tell rates and latencies')
    .argument('<url>', 'the server, as in http://127.0.0.1:8440', parsed(urlOf))
    .addOption(count('guests', 'guests, a vCPU and a connection each', 1, 10_000, 4))
    .addOption(count('harnesses', 'connections that post, signal and write', 1, 1000, 2))
    .addOption(count('watchers', 'connections that only listen', 0, 10_000, 1))
    .addOption(count('partitions', 'partitions to spread them over', 1, 1000, 1))
    .addOption(
      new Option('--duration <time>', 'how long, from 100ms to 24h: 500ms, 10s, 5m')
        .argParser(parsed(parseDuration))
        .default(10_000, '10s'),
    )
    .addOption(
      new Option('--mix <shares>', 'what harnesses do, and how often of all')
        .argParser(parsed(parseMix))
        .default(mix, mixText(mix)),
    )
    .addOption(count('batch', 'ops a harness sends at once, at most', 1, 1_000_000, 64))
    .addOption(count('window', 'batches of a harness that may be unanswered', 1, 1000, 4))
    .addOption(
      new Option('--protocol <name>', 'of the streams: records or JSON').choices(PROTOCOLS).default('bin'),
    )
    .addOption(
      new Option('--profile <name>', 'which machine the partitions are')
        .choices(PROFILE_NAMES)
        .default('tlfs'),
    )
    .addOption(
      new Option('--rate <count>', 'messages a second in all (default: as fast as it goes)').argParser(
        whole(1, 1e8),
      ),
    )
    .option('--keep', 'leave the partitions on the server')
    .option('--json', 'print one JSON document at the end, and no table')
    .addHelpText('after', EXAMPLES)
    .action((url: string, flags: Flags, command: Command) => load(terminal, url, flags, command))
}

/** What no single flag can know of. */
function conflictOf({ guests, harnesses, partitions, mix, rate }: LoadPlan): string | undefined {
  if (partitions > guests) return '--partitions: each needs a guest, so there cannot be more than --guests'
  if (partitions > harnesses)
    return '--partitions: each needs a harness, so there cannot be more than --harnesses'
  const fewest = Math.ceil(guests / VCPUS_MAX)
  if (fewest > partitions) {
    const rule = `a partition has at most ${VCPUS_MAX} vCPUs, and each takes one`
    return `--guests: ${rule}: give --partitions ${fewest} or more`
  }
  if (rate !== undefined && mix.messages === 0) return '--rate: it counts messages, and the mix has none'
  return undefined
}

async function load(terminal: Terminal, url: string, flags: Flags, command: Command): Promise<void> {
  const { duration, json = false, keep = false, rate, ...rest } = flags
  const plan: LoadPlan = { ...rest, keep, url, rate, durationMs: duration }
  const conflict = conflictOf(plan)
  if (conflict !== undefined) command.error(conflict)
  const screen = new Screen(terminal.stderr)
  const say = (line: string) => {
    screen.clear()
    terminal.stderr.write(`${line}\n`)
  }
  const interrupts = new Interrupts(say)
  try {
    const { signal, hurry } = interrupts
    const outcome = await runLoad(plan, { signal, hurry, ...live(terminal, plan, screen, json) })
    screen.clear()
    terminal.stdout.write(
      json ? `${JSON.stringify(reportDocument(outcome), null, 2)}\n` : outcomeText(outcome),
    )
    terminal.exit(isClean(outcome) ? 0 : 1)
  } catch (error) {
    command.error(lineOf(error))
  } finally {
    screen.clear()
    interrupts.stop()
  }
}

/** Where the server takes only so many requests a second. */
const openingLine = (open: number, of: number) => `${open} of ${of} streams open (server has a --max-rate)`

/** On stderr: a table on a terminal, lines elsewhere, and nothing where only the document counts. */
function live({ stderr }: Terminal, plan: LoadPlan, screen: Screen, json: boolean): Omit<Observer, 'signal'> {
  if (stderr.isTTY === true) {
    const head = planText(plan).split('\n')
    return {
      intervalMs: REDRAW_MS,
      onInterval: (...told) => screen.draw([...head, ...liveLines(plan, ...told)]),
      onOpening: (...told) => screen.draw([...head, openingLine(...told)]),
    }
  }
  return {
    intervalMs: Math.max(LINE_MIN_MS, plan.durationMs / LINES),
    onInterval: (...told) => {
      if (!json) stderr.write(`${sampleLine(...told)}\n`)
    },
    onOpening: (...told) => {
      if (!json) stderr.write(`${openingLine(...told)}\n`)
    },
  }
}

/** @throws what is no mistake of the caller's or the server's */
function lineOf(error: unknown): string {
  if (error instanceof LeftBehind) return `${lineOf(error.cause)}; ${error.message}`
  if (error instanceof SynicdProblem) return `${error.title}: ${error.detail}`
  if (error instanceof SynicdError || error instanceof LoadError) return error.message
  throw error
}
