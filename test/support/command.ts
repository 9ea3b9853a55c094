/** Commands run in this process, and the files they are given. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { afterAll } from 'vitest'
import { type Register, runProgram } from '../../src/cli/program.js'

export interface CommandRun {
  /** What the process would end with; undefined: nobody said. */
  readonly status: number | undefined
  readonly out: string
  readonly err: string
}

class Sink extends Writable {
  text = ''
  readonly columns = 100
  constructor(readonly isTTY: boolean) {
    super()
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk
    done()
  }
}

interface Around {
  readonly stdin?: string
  /** Standard error is a terminal. */
  readonly isTTY?: boolean
}

/** Runs a command line of these commands. */
export async function runCommand(
  commands: readonly Register[],
  args: readonly string[],
  { stdin = '', isTTY = false }: Around = {},
): Promise<CommandRun> {
  const [stdout, stderr] = [new Sink(false), new Sink(isTTY)]
  let status: number | undefined
  const exit = (given: number) => {
    status = given
  }
  await runProgram(commands, args, { stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, exit })
  return { status, out: stdout.text, err: stderr.text }
}

export interface TemporaryFiles {
  readonly folder: string
  /** Writes a file, and gives its path. */
  readonly file: (name: string, content: string | Buffer) => string
}

/** A folder of the test file's own, as long as its tests run. */
export function temporaryFiles(): TemporaryFiles {
  const folder = mkdtempSync(join(tmpdir(), 'synicd-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (name: string, content: string | Buffer) => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }
  return { folder, file }
}
