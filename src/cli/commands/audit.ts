// `synicd audit`: replays a trace or kernel events and reports which invariants broke, where, and by whom.
import { writeFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { KINDS } from '../../api/partition.js'
import { parseActors, parseClaims } from '../../replay/actors.js'
import { type AuditOptions, auditFile, readSnapshot } from '../../replay/audit.js'
import { auditText } from '../../replay/audit-text.js'
import { ReplayInputError, reasonOf } from '../../replay/input-error.js'
import { parseOptions } from '../../replay/machine-config.js'
import { FORMATS } from '../../replay/replay.js'
import { sarifOf } from '../../replay/sarif.js'
import { PROFILE_NAMES } from '../../synic/profile.js'
import { columnsOf, fitText } from '../fit.js'
import type { Terminal } from '../program.js'
import { Progress } from '../progress.js'

const EXAMPLES = `
Drivers are told apart by the "actor" of a trace's ops, and in kernel events by the process that --actor maps.
What a recording does not hold is said, and never an error. The auditor runs in this process: a server (--url)
tells what it found itself, at GET /v1/partitions/{id}/violations.
Exit status: 0 no error, 1 an invariant is broken, 2 the input cannot be read.

Examples:
  synicd audit partition.jsonl
  synicd audit --settled --json partition.jsonl.gz
  trace-cmd report | synicd audit --kind l1vh --actor 'kworker*=vmbus' --actor modprobe=mshv -
  synicd audit --claims vmbus=SIMP,SIEFP,SINT2,SCONTROL --sarif audit.sarif guest.ftrace.txt`

const NO_SERVER =
  '--url: the auditor runs in this process; a server tells what it found at /v1/partitions/{id}/violations'

type Flags = Pick<AuditOptions, 'format' | 'profile' | 'kind' | 'settled'> & {
  readonly option?: readonly string[]
  readonly actor?: readonly string[]
  readonly claims?: readonly string[]
  readonly snapshot?: string
  readonly url?: string
  readonly json?: boolean
  readonly sarif?: string
}

export function auditCommand(terminal: Terminal): Command {
  return new Command('audit')
    .description('replay a recorded trace, JSON lines or Linux ftrace text, and report broken invariants')
    .argument('<file>', 'the recording, gzip or not; - is standard input')
    .addOption(
      new Option('--format <format>', 'what the file holds; its first line tells unless given').choices(
        FORMATS,
      ),
    )
    .addOption(new Option('--profile <name>', 'replay under this profile').choices(PROFILE_NAMES))
    .addOption(new Option('--kind <kind>', 'replay in a partition of this kind').choices(KINDS))
    .option('--option <name=value>', 'bend the profile; may be given again', collect)
    .option('--actor <process=actor>', 'the driver that a process runs; may be given again', collect)
    .option('--claims <actor=list>', 'the registers that an actor owns; may be given again', collect)
    .option('--settled', 'the trace is whole: also judge what is left over at its end')
    .option('--snapshot <file>', 'begin from this snapshot: for a log that does not begin at creation')
    .option('--json', 'report as JSON')
    .option('--sarif <file>', 'also write SARIF 2.1.0; - writes it to standard output, and nothing else')
    .addOption(new Option('--url <url>').hideHelp())
    .addHelpText('after', EXAMPLES)
    .action((file: string, flags: Flags) => audit(terminal, file, flags))
}

const collect = (value: string, before: readonly string[] = []) => [...before, value]

async function audit(terminal: Terminal, file: string, flags: Flags): Promise<void> {
  const { option = [], actor = [], claims = [], snapshot, url, json = false, sarif, ...rest } = flags
  if (url !== undefined) throw new ReplayInputError(NO_SERVER)
  if (json && sarif === '-')
    throw new ReplayInputError('--sarif -: standard output takes one of it and --json')
  const progress = new Progress(terminal.stderr, 'audit')
  try {
    const report = await auditFile(file, {
      ...rest,
      options: parseOptions(option),
      actors: parseActors(actor),
      claims: parseClaims(claims),
      snapshot: snapshot === undefined ? undefined : await readSnapshot(snapshot),
      stdin: terminal.stdin,
      onProgress: (bytes, total) => progress.update(bytes, total),
    })
    progress.stop()
    const log = sarif === undefined ? '' : document(sarifOf(report))
    if (sarif !== undefined && sarif !== '-') await writeSarif(sarif, log)
    const { stdout } = terminal
    const text = () => (json ? document(report) : fitText(auditText(report), columnsOf(stdout)))
    stdout.write(sarif === '-' ? log : text())
    terminal.exit(report.errors === 0 ? 0 : 1)
  } finally {
    progress.stop()
  }
}

const document = (value: object) => `${JSON.stringify(value, null, 2)}\n`

async function writeSarif(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    throw new ReplayInputError(`--sarif: cannot write ${path}: ${reasonOf(error)}`)
  })
}
