// Where `synicd scenario` finds a scenario: the library, a file, or standard input; and how it tells what is
// wrong with one.
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import { type Command, CommanderError } from 'commander'
import { didYouMean } from '../api/did-you-mean.js'
import type { ScenarioDocument } from '../api/scenario.js'
import { parseScenario, withLines } from '../scenario/document.js'
import { scenarioLibrary } from '../scenario/library.js'
import { problemText, ScenarioError } from '../scenario/problems.js'
import type { Terminal } from './program.js'

/** A name is one of the library; what looks like a file is one. */
const FILE = /[/\\]|\.(?:ya?ml|json)$/
export const STATUS_INPUT = 2

export interface Source {
  readonly document: ScenarioDocument
  /** Of a file, or of standard input. */
  readonly text?: string
}

/** How messages call it. */
const titleOf = (name: string) => (name === '-' ? 'stdin' : name)

/** The scenario of that name. */
export async function sourceOf(command: Command, stdin: Readable, name: string): Promise<Source> {
  if (name === '-' || FILE.test(name)) {
    const text = await readText(command, stdin, name)
    return { document: parseScenario(text), text }
  }
  const document = scenarioLibrary().get(name)
  if (document !== undefined) return { document }
  const names = [...scenarioLibrary().keys()]
  const meant = didYouMean(name, names) || partOf(name, names) || '; synicd scenario list lists them'
  return command.error(`error: there is no scenario "${name}"${meant}`, { exitCode: STATUS_INPUT })
}

/** A few that have it in their names. */
function partOf(name: string, names: readonly string[]): string {
  const having = names.filter((each) => each.includes(name.toLowerCase()))
  return having.length === 0 || having.length > 5 ? '' : `; there are ${having.join(', ')}`
}

async function readText(command: Command, stdin: Readable, name: string): Promise<string> {
  try {
    return await (name === '-' ? textOf(stdin) : readFile(name, 'utf8'))
  } catch (error) {
    return command.error(`error: cannot read ${titleOf(name)}: ${shortReason(error)}`, {
      exitCode: STATUS_INPUT,
    })
  }
}

/** `ENOENT: no such file or directory`: the file has been named. */
const shortReason = (error: unknown) => (error as Error).message.replace(/, \w+(?: '.*)?$/, '')

/** What comes of it, with the lines of what is wrong with a text. */
export function inSource<T>({ text }: Source, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw error instanceof ScenarioError && text !== undefined ? withLines(text, error) : error
  }
}

/** Runs an action; what is wrong with a scenario is told with its lines. */
export async function told(terminal: Terminal, name: string, action: () => Promise<void>): Promise<void> {
  try {
    await action()
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error
    const title = titleOf(name)
    const lines = error.problems.map((each) => {
      const place = each.line === 0 ? title : `${title}:${each.line}`
      return `synicd: ${place}: ${problemText({ ...each, line: 0 })}\n`
    })
    terminal.stderr.write(lines.join(''))
    throw new CommanderError(STATUS_INPUT, 'scenario', error.message)
  }
}
