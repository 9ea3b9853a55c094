// The command line around the commands: help, version, one line for a mistake, exit status.
import type { Readable } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { ReplayInputError } from '../replay/input-error.js'
import { installedVersion } from '../replay/installed.js'
import type { ProgressStream } from './progress.js'

/** Where a command reads and writes, and how it ends; tests hand in their own. */
export interface Terminal {
  readonly stdin: Readable
  readonly stdout: NodeJS.WritableStream
  readonly stderr: ProgressStream
  /** The status to end with, once everything is written. */
  readonly exit: (status: number) => void
}

/** Makes one command. */
export type Register = (terminal: Terminal) => Command

/** Wrong usage, or input that cannot be used. */
const STATUS_INPUT = 2
/** A mistake of this program's own. */
const STATUS_BUG = 70

export async function runProgram(
  registers: readonly Register[],
  args: readonly string[],
  terminal: Terminal,
): Promise<void> {
  const program = new Command('synicd')
    .description("simulates Hyper-V partitions and their vCPUs' SynICs")
    .version(installedVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .addHelpText(
      'after',
      [
        '\nExamples:',
        '  synicd serve',
        '  synicd scenario run kexec-l1vh --driver mshv=pre-series',
        '  trace-cmd report | synicd audit --kind l1vh -',
        '  synicd replay partition.jsonl',
        '  synicd help replay',
      ].join('\n'),
    )
  for (const register of registers) program.addCommand(register(terminal))
  for (const command of [program, ...program.commands]) {
    command.exitOverride()
    command.configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: (text, write) => write(`synicd: ${oneLine(text)}`),
    })
  }
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    terminal.exit(statusOf(error, terminal))
  }
}

/** What was meant stands on a line of its own, in brackets. */
function oneLine(text: string): string {
  return text.replace(/^error: /, '').replace(/\.?\n\(Did you mean (.*)\?\)/, '; did you mean $1?')
}

function statusOf(error: unknown, { stderr }: Terminal): number {
  // What it had to say, commander has said.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : STATUS_INPUT
  if (error instanceof ReplayInputError) {
    stderr.write(`synicd: ${error.message}\n`)
    return STATUS_INPUT
  }
  stderr.write(
    `synicd: unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  )
  return STATUS_BUG
}
