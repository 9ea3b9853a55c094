/** The README's tour is real: every command is run against a server, and must print what stands there. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { built, MAIN } from '../support/built.js'

const ROOT = join(import.meta.dirname, '../..')
/** What a reader's `npm install` links to what is built here. */
const INSTALLED: readonly (readonly [string, string])[] = [
  ['npx synicd', `${process.execPath} ${MAIN}`],
  ['"synicd/client"', `"${pathToFileURL(built('src/client/index.js')).href}"`],
]

interface Step {
  readonly command: string
  readonly output: string
}

/** Commands and what follows them, of every `console` block. A command goes on while its quotes are open. */
function tourOf(readme: string): Step[] {
  const blocks = [...readme.matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, text]) => text)
  return blocks.flatMap((block) => block.split(/^\$ /m).slice(1).map(stepOf))
}

function stepOf(text: string): Step {
  const lines = text.trimEnd().split('\n')
  let end = 1
  while ((lines.slice(0, end).join('\n').split("'").length - 1) % 2 === 1) end++
  return { command: lines.slice(0, end).join('\n'), output: lines.slice(end).join('\n') }
}

const steps = tourOf(readFileSync(join(ROOT, 'README.md'), 'utf8'))

describe('the tour in the README', () => {
  const folder = mkdtempSync(join(tmpdir(), 'synicd-tour-'))
  const server = spawn(process.execPath, [MAIN, 'serve', '--port', '0', '--json'])
  let address = ''

  beforeAll(async () => {
    const [line] = (await once(server.stdout, 'data')) as [Buffer]
    address = new URL(JSON.parse(line.toString()).address).host
  })
  afterAll(() => {
    server.kill('SIGKILL')
    rmSync(folder, { recursive: true })
  })

  it('has a tour of REST, a stream, a scenario and its fix, and an audit', () => {
    const all = steps.map(({ command }) => command).join('\n')
    expect(steps.length).toBeGreaterThanOrEqual(12)
    for (const part of ['/ops', '.stream(', 'mshv=pre-series', 'mshv=v4', 'synicd audit']) {
      expect(all).toContain(part)
    }
  })

  it.each(steps.map((step, i) => [i + 1, step] as const))('step %i', async (_i, { command, output }) => {
    const here = INSTALLED.reduce(
      (text, [name, path]) => text.replaceAll(name, path),
      command.replaceAll('localhost:8440', address),
    )
    const { stdout } = await promisify(execFile)('bash', ['-c', here], { cwd: folder })
    expect(stdout.trim()).toBe(output.trim())
  })
})
