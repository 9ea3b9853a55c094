// `synicd scenario`: known bugs and their fixes, step by step; lists them, shows them, runs them.
import { writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { parseDocument, stringify } from 'yaml'
import { didYouMean } from '../../api/did-you-mean.js'
import { Param, type ParamValues } from '../../api/scenario.js'
import { scenarioLibrary, summaryOf } from '../../scenario/library.js'
import { type PerturbOptions, perturb } from '../../scenario/perturb.js'
import { perturbText } from '../../scenario/perturb-text.js'
import { PERTURBATIONS, type Perturbation } from '../../scenario/perturbations.js'
import { paramText } from '../../scenario/procedure-params.js'
import { type ProcedureView, procedureList } from '../../scenario/procedures.js'
import { headText, isFine, lineText, reportText, tableText } from '../../scenario/report-text.js'
import { choose, runChoice, type ScenarioRun } from '../../scenario/run.js'
import { traceText } from '../../scenario/trace.js'
import { columnsOf, fitText } from '../fit.js'
import type { Terminal } from '../program.js'
import { inSource, type Source, STATUS_INPUT, sourceOf, told } from '../scenario-source.js'

const EXAMPLES = `
Examples:
  synicd scenario list
  synicd scenario run kexec-l1vh --driver mshv=pre-series
  synicd help scenario`

const LIST_EXAMPLES = `
Examples:
  synicd scenario list
  synicd scenario list --json`

const PROCEDURES_EXAMPLES = `
A step runs one of them: { run: mshv.up, with: { version: v4 } }

Examples:
  synicd scenario procedures
  synicd scenario procedures linux.boot`

const SHOW_EXAMPLES = `
What it prints is a scenario's file: a start for one of your own.

Examples:
  synicd scenario show kexec-l1vh
  synicd scenario show kexec-l1vh > mine.yaml && synicd scenario run mine.yaml`

const RUN_EXAMPLES = `
Without parameters every variant is run. "all" is every scenario of the library.

Exit status: 0 all came as expected, 1 something did not, 2 the scenario cannot be run.

Examples:
  synicd scenario run kexec-l1vh
  synicd scenario run kexec-l1vh --driver mshv=pre-series --trace kexec.jsonl
  synicd scenario run all
  synicd scenario run mine.yaml --json
  sed s/v1/v4/ mine.yaml | synicd scenario run -`

const PERTURB_EXAMPLES = `
Perturbations:
${tableText(
  PERTURBATIONS.map(({ name, says }) => [name, says]),
  '  ',
)}
Steps are counted from 1, one for each op; one more than the last is the end. Variants that are not clean by
themselves are left out.

Exit status: 0 nothing was found, 1 something was, 2 the scenario cannot be run.

Examples:
  synicd scenario perturb silent-vmbus-up
  synicd scenario perturb silent-vmbus-up --variant tlfs --only snapshot-restore,pause-resume --at 12`

/** Shorter work ends before anyone wonders. */
const PATIENCE_MS = 1000

interface PerturbFlags {
  readonly variant?: string
  readonly only?: string
  readonly at?: string
  readonly json?: boolean
}

interface Flags {
  readonly with?: readonly string[]
  readonly driver?: readonly string[]
  readonly variant?: string
  readonly json?: boolean
  readonly trace?: string
}

const collect = (value: string, before: readonly string[] = []) => [...before, value]

export function scenarioCommand(terminal: Terminal): Command {
  const command = new Command('scenario').description('known bugs and their fixes, step by step')
  const list = new Command('list')
    .description('the scenarios of the library')
    .option('--json', 'as JSON')
    .addHelpText('after', LIST_EXAMPLES)
    .action((flags: { json?: boolean }) => print(terminal, flags.json, summaries(), listText))
  const procedures = new Command('procedures')
    .description('what a step may run, and what that takes')
    .argument('[name]', 'one of them, with its parameters')
    .option('--json', 'as JSON')
    .addHelpText('after', PROCEDURES_EXAMPLES)
    .action((name: string | undefined, flags: { json?: boolean }) => {
      const list = procedureList().filter((each) => name === undefined || each.name === name)
      if (list.length === 0) {
        const names = procedureList().map((each) => each.name)
        procedures.error(`error: there is no procedure ${name}${didYouMean(`${name}`, names)}`, {
          exitCode: STATUS_INPUT,
        })
      }
      print(terminal, flags.json, list, name === undefined ? proceduresText : procedureText)
    })
  const show = new Command('show')
    .description('one scenario, as a document')
    .argument('<name>', 'of the library, a YAML file, or - for standard input')
    .option('--json', 'as JSON')
    .addHelpText('after', SHOW_EXAMPLES)
    .action((name: string, flags: { json?: boolean }) =>
      told(terminal, name, async () => {
        const { document } = await sourceOf(show, terminal.stdin, name)
        const yaml = () => stringify(document, { lineWidth: 100 })
        terminal.stdout.write(flags.json === true ? jsonText(document) : yaml())
      }),
    )
  const run = new Command('run')
    .description('run a scenario, and compare what comes of it with what it says')
    .argument('<name>', 'of the library, a YAML file, - for standard input, or all')
    .option('--with <name=value>', 'give a parameter this value; may be given again', collect)
    .option('--driver <name=version>', 'the same, for the version of a driver', collect)
    .option('--variant <name>', 'run this variant only')
    .option('--trace <file>', 'write the ops to this file; synicd replay takes it')
    .option('--json', 'report as JSON')
    .addHelpText('after', RUN_EXAMPLES)
    .action((name: string, flags: Flags) =>
      told(terminal, name, async () => {
        if (name === 'all') runAll(terminal, run, flags)
        else runOne(terminal, run, await sourceOf(run, terminal.stdin, name), flags)
      }),
    )
  for (const each of [list, show, procedures, run, perturbCommand(terminal)]) command.addCommand(each)
  // What the program says of output and exit holds for these too.
  return command
    .addHelpText('after', EXAMPLES)
    .hook('preSubcommand', (parent, sub) => void sub.copyInheritedSettings(parent))
}

function perturbCommand(terminal: Terminal): Command {
  const command = new Command('perturb')
    .description(
      'put a snapshot, a pause, a reset, ... before every step of what is right, and see what breaks',
    )
    .argument('<name>', 'of the library, a YAML file, or - for standard input')
    .option('--variant <name>', 'perturb this variant only')
    .option('--only <names>', 'these perturbations only, separated by commas')
    .option('--at <step>', 'before this step only')
    .option('--json', 'report as JSON')
    .addHelpText('after', PERTURB_EXAMPLES)
  return command.action((name: string, flags: PerturbFlags) =>
    told(terminal, name, async () => {
      const source = await sourceOf(command, terminal.stdin, name)
      runPerturbed(terminal, command, name, source, flags)
    }),
  )
}

function print<T>(terminal: Terminal, json: boolean | undefined, value: T, text: (value: T) => string): void {
  const { stdout } = terminal
  stdout.write(json === true ? jsonText(value) : fitText(text(value), columnsOf(stdout)))
}

const jsonText = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

const summaries = () => [...scenarioLibrary().values()].map(summaryOf)

function listText(items: ReturnType<typeof summaries>): string {
  const rows = items.map(({ name, variants, title }) => [name, `${variants.length || 1}`, title])
  return tableText([['name', 'runs', 'title'], ...rows])
}

function proceduresText(items: readonly ProcedureView[]): string {
  const rows = items.map(({ name, takes, says }) => [name, takes.join(', '), says])
  return tableText([['procedure', 'with', ''], ...rows])
}

function procedureText([{ name, says, takes, chooses }]: readonly ProcedureView[]): string {
  const rows = takes.map((each) => {
    const { is, means } = paramText(each)
    return [each, is, each === 'vcpus' && chooses !== 'none' ? VCPUS_MEAN[chooses] : means]
  })
  return `${name}: ${says}\n${rows.length === 0 ? '' : `\n${tableText([['with', 'is', ''], ...rows], '  ')}`}`
}

const VCPUS_MEAN = {
  each: 'acts on each of them; on all that its kernel has unless given',
  one: "acts on one of them: the kernel's first unless given",
  boot: 'those that its kernel has, where the kernel begins with it',
} as const

const pairsOf = ({ with: params = [], driver = [] }: Flags) => [...params, ...driver]

/** `mshv=v4`: values are read as a scenario's are. */
function paramsOf(command: Command, flags: Flags): ParamValues | undefined {
  const pairs = pairsOf(flags)
  if (pairs.length === 0) return undefined
  const entries = pairs.map((pair) => {
    const [, name, text] = /^(\w+)=(.*)$/.exec(pair) ?? []
    const { data } = Param.safeParse(text === undefined ? undefined : scalarOf(text))
    if (name !== undefined && data !== undefined) return [name, data]
    return command.error(`error: --with ${pair}: must be written name=value`, { exitCode: STATUS_INPUT })
  })
  return Object.fromEntries(entries)
}

function scalarOf(text: string): unknown {
  const { errors, contents } = parseDocument(text)
  if (errors.length > 0) return text
  const value: unknown = contents?.toJSON()
  // What a number does not hold exactly, or might mean in two ways, stays as it is written.
  const isInexact =
    typeof value === 'number' && (Math.abs(value) > Number.MAX_SAFE_INTEGER || /^0\d/.test(text))
  return isInexact ? text : value
}

/** The runs that are asked for. */
function runsOf(
  command: Command,
  source: Source,
  flags: Flags,
  tell?: (text: string) => void,
): ScenarioRun[] {
  const { document } = source
  const params = paramsOf(command, flags)
  return inSource(source, () =>
    choose(document, { variant: flags.variant, params }).map((choice, i, all) => {
      const which = `variant ${i + 1} of ${all.length}`
      return runChoice(document, choice, (ops) => tell?.(`${which}, ${ops} ops`))
    }),
  )
}

function runOne(terminal: Terminal, command: Command, source: Source, flags: Flags): void {
  const watch = watchOf(terminal)
  const runs = ended(watch, () => runsOf(command, source, flags, watch.tell))
  if (flags.trace !== undefined) {
    const names = runs.map(({ report }) => report.variant).join(', ')
    if (runs.length > 1) {
      command.error(`error: --trace: choose one with --variant: ${names}`, { exitCode: STATUS_INPUT })
    }
    writeTrace(command, flags.trace, traceText(runs[0]))
  }
  const reports = runs.map(({ report }) => report)
  print(
    terminal,
    flags.json,
    reports,
    () => `${headText(source.document)}\n${reports.map(reportText).join('\n')}`,
  )
  terminal.exit(reports.every(isFine) ? 0 : 1)
}

function writeTrace(command: Command, file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    command.error(`error: --trace: ${(error as Error).message}`, { exitCode: STATUS_INPUT })
  }
}

interface Watch {
  tell(text: string): void
  end(): void
}

/** Its line is cleared whatever comes of it. */
function ended<T>(watch: Watch, work: () => T): T {
  try {
    return work()
  } finally {
    watch.end()
  }
}

/** How far it is, on a line of its own, where somebody waits. */
function watchOf({ stderr }: Terminal): Watch {
  const began = performance.now()
  let shown = false
  return {
    tell: (text) => {
      if (stderr.isTTY !== true || performance.now() - began < PATIENCE_MS) return
      shown = true
      stderr.write(`\r\x1b[K${text}`)
    },
    end: () => {
      if (shown) stderr.write('\r\x1b[K')
    },
  }
}

/** The whole library: a line a variant, and more only of what did not come as expected. */
function runAll(terminal: Terminal, command: Command, flags: Flags): void {
  if (flags.trace !== undefined || flags.variant !== undefined || pairsOf(flags).length > 0) {
    command.error('error: all takes no parameters, no --variant and no --trace', { exitCode: STATUS_INPUT })
  }
  const documents = [...scenarioLibrary().values()]
  const watch = watchOf(terminal)
  const reports = documents.flatMap((document, i) => {
    watch.tell(`${i} of ${documents.length}: ${document.scenario}`)
    return runsOf(command, { document }, flags).map(({ report }) => report)
  })
  watch.end()
  const odd = reports.filter((report) => !isFine(report))
  const sum = odd.length === 0 ? 'all as expected' : `${odd.length} not as expected`
  print(terminal, flags.json, reports, () =>
    [
      tableText(reports.map(lineText)),
      ...odd.map((report) => `\n${report.scenario}\n${reportText(report)}`),
      `\n${documents.length} scenarios, ${reports.length} runs: ${sum}\n`,
    ].join(''),
  )
  terminal.exit(odd.length === 0 ? 0 : 1)
}

function runPerturbed(
  terminal: Terminal,
  command: Command,
  name: string,
  { document }: Source,
  flags: PerturbFlags,
): void {
  const refuse = (message: string) => command.error(`error: ${message}`, { exitCode: STATUS_INPUT })
  const { variant, at, only } = flags
  if (at !== undefined && !/^[1-9]\d*$/.test(at)) refuse(`--at ${at}: must be a step, from 1`)
  const perturbations = only?.split(',').map((each) => perturbationOf(command, each))
  const options: PerturbOptions = { variant, at: at === undefined ? undefined : Number(at), perturbations }
  const watch = watchOf(terminal)
  const work = perturb(document, options)
  let next = work.next()
  while (next.done !== true) {
    watch.tell(`${next.value.done} of ${next.value.total} runs`)
    next = work.next()
  }
  watch.end()
  const report = next.value
  if (report.variants.length === 0) refuse(`${name} is not clean by itself; run it to see what it reports`)
  print(terminal, flags.json, report, (each) => perturbText(each, name))
  terminal.exit(report.tallies.some(({ findings }) => findings > 0) ? 1 : 0)
}

function perturbationOf(command: Command, name: string): Perturbation {
  const found = PERTURBATIONS.find((each) => each.name === name)
  if (found !== undefined) return found
  const names = PERTURBATIONS.map((each) => each.name).join(', ')
  return command.error(`error: --only ${name}: the perturbations are ${names}`, { exitCode: STATUS_INPUT })
}
