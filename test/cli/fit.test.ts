/** Reports fit the terminal they are read on, and stay one line a row where they are piped. */
import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { auditCommand } from '../../src/cli/commands/audit.js'
import { scenarioCommand } from '../../src/cli/commands/scenario.js'
import { columnsOf, fitText } from '../../src/cli/fit.js'
import { runProgram } from '../../src/cli/program.js'

const HEAD = 'seq  actor  what'
const ROW = '1    vmbus  writes SINT2 of a SynIC that mshv disabled under it'
const table = `title\n\n  ${HEAD}\n  ${ROW}\n\nend`

it.each([
  ['nobody reads it', table, undefined, table],
  ['there is room', table, 100, table],
  [
    'the last column wraps where it stands',
    table,
    60,
    [
      `title\n\n  ${HEAD}`,
      '  1    vmbus  writes SINT2 of a SynIC that mshv disabled',
      `${' '.repeat(14)}under it\n\nend`,
    ].join('\n'),
  ],
  [
    'or goes below, of every row, where that has too little room',
    table,
    50,
    [
      'title\n',
      '  seq  actor\n       what',
      '  1    vmbus\n       writes SINT2 of a SynIC that mshv disabled\n       under it',
      '\nend',
    ].join('\n'),
  ],
  ['a line without columns', 'source: a b', 9, 'source: a\n  b'],
  ['what is indented', '  some words here', 12, '  some words\n    here'],
  ['a word that is too long', 'https://git.kernel.org/x', 10, 'https://git.kernel.org/x'],
] as const)('%s', (_why, text, columns, expected) => {
  expect(fitText(text, columns)).toBe(expected)
})

it('knows a terminal by its columns, and none is too narrow', () => {
  const stream = (about: object) => Object.assign(new PassThrough(), about)
  expect(columnsOf(stream({}))).toBeUndefined()
  expect(columnsOf(stream({ columns: 80 }))).toBeUndefined()
  expect(columnsOf(stream({ isTTY: true, columns: 80 }))).toBe(80)
  expect(columnsOf(stream({ isTTY: true, columns: 3 }))).toBe(40)
})

const SAMPLE = new URL('../samples/qemu-seabios-kdnet.kvm-ftrace.txt', import.meta.url).pathname

it.each([
  ['scenario', 'run', 'kexec-l1vh'],
  ['scenario', 'run', 'all'],
  ['scenario', 'list'],
  ['scenario', 'procedures'],
  ['audit', SAMPLE],
])('fits 100 columns: %s %s %s', async (...args: string[]) => {
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 100 })
  const terminal = { stdin: new PassThrough(), stdout, stderr: new PassThrough(), exit: () => {} }
  await runProgram(
    [scenarioCommand, auditCommand],
    args.filter((each) => each !== undefined),
    terminal,
  )
  const lines = String(stdout.read()).split('\n')
  expect(lines.length).toBeGreaterThan(5)
  expect(lines.filter((line) => line.length > 100 && !/https:\/\/\S{60}|\/samples\//.test(line))).toEqual([])
})

it.each(['list', 'show', 'procedures', 'run', 'perturb'])(
  'scenario %s --help has an example',
  async (name) => {
    const stdout = new PassThrough()
    const terminal = { stdin: new PassThrough(), stdout, stderr: new PassThrough(), exit: () => {} }
    await runProgram([scenarioCommand], ['scenario', name, '--help'], terminal)
    expect(String(stdout.read())).toContain(`Examples:\n  synicd scenario ${name}`)
  },
)
