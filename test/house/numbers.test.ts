// What the bundler takes for a number (ADR 8): if it is wrong, a program that ships differs from its source.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { numbersOf } from '../../scripts/numbers.mjs'

const OTHER = `export const WORD = 4
export const BITS = 0x1_0
const HIDDEN = 7
export const LIST = [1, 2]
`
const CASES: readonly (readonly [why: string, source: string, value: number | undefined])[] = [
  ['a number', 'const X = 12', 12],
  ['a hexadecimal one, with its digits apart', 'const X = 0x4000_0000', 0x4000_0000],
  ['below zero', 'const X = -1', -1],
  ['a calculation', 'const X = 2 ** 30 / 8', 2 ** 27],
  ['one over several lines', 'const X =\n  (1 << 3) |\n  (1 << 5)', 0x28],
  ['of another constant', 'const Y = 3\nconst X = Y * Y', 9],
  ['of an imported one', "import { WORD } from './other.js'\nconst X = WORD + 1", 5],
  ['of one by another name', "import { BITS as B, WORD } from './other.js'\nconst X = B * WORD", 64],
  ['of a module as a whole', "import * as o from './other.js'\nconst X = 1 << o.WORD", 16],
  ['one that is exported', 'export const X = 1', 1],
  [
    'of what the other module keeps to itself',
    "import { HIDDEN } from './other.js'\nconst X = HIDDEN",
    undefined,
  ],
  ['of a list', "import { LIST } from './other.js'\nconst X = LIST.length", undefined],
  ['of what stands behind it', 'const X = Y\nconst Y = 1', undefined],
  ['of what is no number', "const Y = 'a'\nconst X = Y + 1", undefined],
  ['a truth', 'const X = 1 < 2', undefined],
  ['no finite number', 'const X = 1 / 0', undefined],
  ['a call', 'const X = f(1)', undefined],
  ['a name of digits that a hexadecimal number has', 'const X = abc', undefined],
  ['below zero of another', 'const Y = -2\nconst X = Y ** 2', 4],
  ['a pattern', 'const X = /0/', undefined],
]

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numbers-'))
  writeFileSync(join(folder, 'other.ts'), OTHER)
})
afterAll(() => rmSync(folder, { recursive: true }))

test.each(CASES.map((each, i) => [...each, i] as const))('%s: %j is %s', (_, source, value, i) => {
  const path = join(folder, `case-${i}.ts`)
  writeFileSync(path, source)
  expect(numbersOf(path).find(({ name }) => name === 'X')?.value).toBe(value)
})

test('what a constant is exported as, and where it stands', () => {
  const path = join(folder, 'whole.ts')
  writeFileSync(path, 'const A =\n  1 |\n  2\nexport const B = A\nlet c = A')
  expect(numbersOf(path)).toEqual([
    { name: 'A', value: 3, isExported: false, at: 0, text: 'const A =\n  1 |\n  2' },
    { name: 'B', value: 3, isExported: true, at: 20, text: 'export const B = A' },
  ])
})
