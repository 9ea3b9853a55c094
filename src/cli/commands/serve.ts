/** `synicd serve`: the server in the foreground. */
import { Command, Option } from 'commander'
import { ConfigError, environmentName, loadConfig, SETTINGS } from '../../config.js'
import { startServer } from '../../main.js'
import type { Terminal } from '../program.js'

const EXAMPLES = `
Examples:
  synicd serve
  synicd serve --port 0 --log-level warn
  SYNICD_MAX_OPS=1000 synicd serve

Each flag can be set by an environment variable: --log-level is SYNICD_LOG_LEVEL.`

export function serveCommand({ stdout, stderr }: Terminal): Command {
  const command = new Command('serve')
    .description('host partitions over HTTP until SIGTERM')
    .addHelpText('after', EXAMPLES)
  for (const [name, { help, fallback }] of Object.entries(SETTINGS)) {
    const flag = typeof fallback === 'boolean' ? `--${name}` : `--${name} <value>`
    // The default is told, not set: a flag left out gives way to the environment.
    command.addOption(new Option(flag, `${help} (default ${fallback}; ${environmentName(name)})`))
  }
  command.option('--json', 'print the address as JSON')
  return command.action(async ({ json, ...flags }: Record<string, unknown>) => {
    try {
      const address = await startServer(loadConfig(flags))
      stdout.write(json === true ? `${JSON.stringify({ address })}\n` : `synicd listens on ${address}\n`)
    } catch (error) {
      stderr.write(`synicd serve: ${lineOf(error)}\n`)
      process.exit(isUsage(error) ? 2 : 1)
    }
  })
}

/** What the system says of an address it does not let us listen on. */
const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'choose another --port, or 0 for any free one',
  EACCES: 'choose another --port, from 1024 on',
  EADDRNOTAVAIL: '--host must be an address of this machine',
  ENOTFOUND: '--host must be an address of this machine, or a name of one',
  EAI_AGAIN: '--host must be an address of this machine, or a name of one',
}

/** Undefined: it is none of these. */
function remedyOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? REMEDIES[String(error.code)] : undefined
}

function isListenError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'listen'
}

const isUsage = (error: unknown) =>
  error instanceof ConfigError || isListenError(error) || remedyOf(error) !== undefined

function lineOf(error: unknown): string {
  const remedy = remedyOf(error)
  const message = error instanceof Error ? error.message : String(error)
  return remedy === undefined ? message : `${message}; ${remedy}`
}
