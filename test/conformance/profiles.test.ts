/** Every known difference between the machines: one script a row and profile, by number. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { migrate } from '../support/migrate.js'
import { play, run } from '../support/script.js'
import { allCases, allRows } from './rows/all.js'
import { COLUMNS } from './rows/row.js'

describe('profiles', () => {
  it.each(allCases)('$name', ({ setup, steps, afterwards }) => {
    const test = run(setup, steps)
    if (afterwards.length > 0) play(migrate(test, setup), afterwards)
  })
})

const page = readFileSync(join(import.meta.dirname, '../../docs/profiles.md'), 'utf8')
const cellsOf = (line: string) =>
  line
    .split('|')
    .map((cell) => cell.trim())
    .slice(1, -1)
const NUMBERED = /^\| \d+a? \|.*\|$/gm
const EXCUSED = /^\| ([\da, ]+) \| ([\w, -]+) \| [^|]+ \|$/gm

/** "row column" of every cell that says something. */
const said = [...page.matchAll(NUMBERED)].map(([line]) => cellsOf(line)).filter((cells) => cells.length === 8)
const claims = said.flatMap(([row, , ...cells]) =>
  COLUMNS.filter((_, i) => cells[i] !== '–').map((column) => `${row} ${column}`),
)
const excused = [...page.matchAll(EXCUSED)].flatMap(([, rows, columns]) =>
  rows.split(', ').flatMap((row) => columns.split(', ').map((column) => `${row} ${column}`)),
)
const tested = allRows.flatMap(({ row, cases }) =>
  cases.flatMap(({ columns }) => columns.map((column) => `${row} ${column}`)),
)

describe('docs/profiles.md', () => {
  it('has rows 1 to 103 and 101a', () => {
    const numbers = Array.from({ length: 103 }, (_, i) => `${i + 1}`)
    expect(said.map(([row]) => row)).toEqual([...numbers.slice(0, 101), '101a', ...numbers.slice(101)])
  })

  it('says nothing that is neither tested nor excused', () => {
    expect(claims.filter((claim) => !tested.includes(claim) && !excused.includes(claim))).toEqual([])
  })

  it('has a row for every test', () => {
    const rows = said.map(([row]) => row)
    expect(allRows.map(({ row }) => `${row}`).filter((row) => !rows.includes(row))).toEqual([])
  })

  it('says of each row whether it is tested in full', () => {
    const inPart = said.filter((cells) => cells[7] !== 'yes').map(([row]) => row)
    const untested = claims.filter((claim) => !tested.includes(claim)).map((claim) => claim.split(' ')[0])
    expect(inPart).toEqual([...new Set(untested)])
  })
})
