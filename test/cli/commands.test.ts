/** What every command has: help with an example, --json, and a line that tells which flag was meant. */
import { describe, expect, it } from 'vitest'
import { auditCommand } from '../../src/cli/commands/audit.js'
import { benchCommand } from '../../src/cli/commands/bench.js'
import { loadCommand } from '../../src/cli/commands/load.js'
import { replayCommand } from '../../src/cli/commands/replay.js'
import { scenarioCommand } from '../../src/cli/commands/scenario.js'
import { serveCommand } from '../../src/cli/commands/serve.js'
import { runCommand } from '../support/command.js'

const REGISTERS = [serveCommand, replayCommand, auditCommand, loadCommand, scenarioCommand, benchCommand]

const synicd = (...args: string[]) => runCommand(REGISTERS, args)

/** Names under `Commands:` of a help text. */
async function commandsOf(...path: string[]): Promise<string[][]> {
  const { out } = await synicd(...path, '--help')
  const [, list = ''] = /\nCommands:\n([\s\S]*?)\n\n/.exec(out) ?? []
  const names = [...list.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name).filter((name) => name !== 'help')
  const below = await Promise.all(names.map((name) => commandsOf(...path, name)))
  return names.flatMap((name, i) => (below[i].length === 0 ? [[...path, name]] : below[i]))
}

const leaves = await commandsOf()

describe('every command', () => {
  it('is one of these', () => {
    expect(leaves.map((path) => path.join(' '))).toEqual([
      'serve',
      'replay',
      'audit',
      'load',
      'scenario list',
      'scenario show',
      'scenario procedures',
      'scenario run',
      'scenario perturb',
      'bench',
    ])
  })

  it.each(leaves.map((path) => [path.join(' '), path] as const))(
    '%s has an example and --json',
    async (name, path) => {
      const { status, out } = await synicd(...path, '--help')
      expect(status).toBe(0)
      expect(out).toMatch(new RegExp(`\nExamples:\n(?: {2}.*\n)*? {2}.*synicd ${name}`))
      expect(out).toMatch(/^ {2}--json /m)
    },
  )

  it.each(leaves.map((path) => [path.join(' '), path] as const))(
    '%s tells what flag was meant',
    async (_name, path) => {
      const { status, out, err } = await synicd(...path, '--jsn')
      expect({ status, out, err }).toEqual({
        status: 2,
        out: '',
        err: "synicd: unknown option '--jsn'; did you mean --json?\n",
      })
    },
  )
})
