// What the bundler makes of constants (ADR 8): V8 looks up again and again what is no constant to it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundle } from '../../scripts/bundle.mjs'

const MODULES = {
  words: 'export const WORDS = 4\nexport const KINDS = WORDS * 2 - 1',
  bits: `import { KINDS } from './words.js'
    import * as w from './words.js'
    export const MASK = (1 << KINDS) | (1 << w.WORDS)`,
  tables: "import { WORDS } from './words.js'\nexport const TABLE = new Int32Array(WORDS)",
  main: `import { MASK } from './bits.js'
    import { TABLE } from './tables.js'
    import { WORDS } from './words.js'
    export const pick = (at: number): number => TABLE[at & MASK] + at * WORDS`,
}

let folder = ''
let code = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bundle-'))
  for (const [name, source] of Object.entries(MODULES)) writeFileSync(join(folder, `${name}.ts`), source)
  await bundle(folder, ['main.ts'], 'out')
  code = readFileSync(join(folder, 'out', 'main.js'), 'utf8')
})
afterAll(() => rmSync(folder, { recursive: true }))

test('a number of another module stands where it is used', () => {
  expect(code).toContain('at * 4')
})

test('one that is worked out from others is worked out, through several modules', () => {
  expect(code).toMatch(/^const MASK = 144;$/m)
})

test('what is no number stays a constant', () => {
  expect(code).toMatch(/^const TABLE = /m)
})
