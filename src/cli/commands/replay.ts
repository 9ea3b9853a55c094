// `synicd replay`: a trace, a log or kernel events, run again and compared.
import { readFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { KINDS } from '../../api/partition.js'
import { ReplayInputError, reasonOf } from '../../replay/input-error.js'
import { parseOptions } from '../../replay/machine-config.js'
import { FORMATS, isClean, parseSnapshot, type ReplayOptions, replayFile } from '../../replay/replay.js'
import { reportText } from '../../replay/report-text.js'
import { PROFILE_NAMES } from '../../synic/profile.js'
import type { Terminal } from '../program.js'
import { Progress } from '../progress.js'

const EXAMPLES = `
Exit status: 0 nothing differs, 1 something does, 2 the input cannot be replayed.

Examples:
  synicd replay partition.jsonl
  trace-cmd report | synicd replay -
  synicd replay --profile qemu --json host.ftrace.txt.gz
  synicd replay --url http://127.0.0.1:8440 partition.jsonl`

type Flags = Pick<ReplayOptions, 'format' | 'profile' | 'kind' | 'keepGoing' | 'url' | 'token'> & {
  readonly option?: readonly string[]
  readonly snapshot?: string
  readonly json?: boolean
}

export function replayCommand(terminal: Terminal): Command {
  return new Command('replay')
    .description('run a recorded trace again and compare: JSON lines, or Linux ftrace text')
    .argument('<file>', 'the recording, gzip or not; - is standard input')
    .addOption(
      new Option('--format <format>', 'what the file holds; its first line tells unless given').choices(
        FORMATS,
      ),
    )
    .addOption(new Option('--profile <name>', 'replay under this profile').choices(PROFILE_NAMES))
    .addOption(new Option('--kind <kind>', 'replay in a partition of this kind').choices(KINDS))
    .option('--option <name=value>', 'bend the profile; may be given again', collect)
    .option('--keep-going', 'do not stop at the first difference')
    .option('--snapshot <file>', 'begin from this snapshot: for a log that does not begin at creation')
    .option('--url <url>', 'replay on a running server')
    .option('--token <token>', 'bearer token for that server')
    .option('--json', 'report as JSON')
    .addHelpText('after', EXAMPLES)
    .action((file: string, flags: Flags) => replay(terminal, file, flags))
}

const collect = (value: string, before: readonly string[] = []) => [...before, value]

async function replay(terminal: Terminal, file: string, flags: Flags): Promise<void> {
  const { option = [], snapshot, json, ...rest } = flags
  const progress = new Progress(terminal.stderr, 'replay')
  try {
    const report = await replayFile(file, {
      ...rest,
      options: parseOptions(option),
      snapshot: snapshot === undefined ? undefined : await readSnapshot(snapshot),
      stdin: terminal.stdin,
      onProgress: (bytes, total) => progress.update(bytes, total),
    })
    progress.stop()
    terminal.stdout.write(json === true ? `${JSON.stringify(report, null, 2)}\n` : reportText(report))
    terminal.exit(isClean(report) ? 0 : 1)
  } finally {
    progress.stop()
  }
}

async function readSnapshot(path: string): Promise<object> {
  try {
    return parseSnapshot(path, await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof ReplayInputError) throw error
    throw new ReplayInputError(`--snapshot: cannot read ${path}: ${reasonOf(error)}`)
  }
}
