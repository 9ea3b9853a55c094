#!/usr/bin/env node
// The `synicd` command: one line a subcommand.
import { auditCommand } from './commands/audit.js'
import { benchCommand } from './commands/bench.js'
import { loadCommand } from './commands/load.js'
import { replayCommand } from './commands/replay.js'
import { scenarioCommand } from './commands/scenario.js'
import { serveCommand } from './commands/serve.js'
import { type Register, runProgram } from './program.js'
import { tuneV8 } from './tune-v8.js'

const COMMANDS: readonly Register[] = [
  serveCommand,
  replayCommand,
  auditCommand,
  loadCommand,
  scenarioCommand,
  benchCommand,
]

tuneV8()

// A reader that has seen enough (`| head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })
}

await runProgram(COMMANDS, process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  // Not process.exit: a pipe may still hold part of the report.
  exit: (status) => {
    process.exitCode = status
  },
})
