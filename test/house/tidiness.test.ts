// Holds every file to the house habits that a compiler and a linter do not see.
import { basename, dirname, join } from 'node:path/posix'
import { describe, expect, it } from 'vitest'
import { codeOnly, filesBelow, type SourceFile, withoutComments } from './source.js'

const LINES_MAX = 400
const COLUMNS_MAX = 110
const BANNED_NAMES = ['utils', 'helpers', 'manager', 'common', 'data', 'info']
const BARRELS = ['src/client/index.ts']
const ENVIRONMENT_READERS = ['src/config.ts']

const isShipped = (path: string): boolean => /^(?:src|routes)\//.test(path)

function size({ path, text }: SourceFile): string[] {
  const lines = text.replace(/\n$/, '').split('\n')
  const wide = lines.flatMap((line, i) => (line.length > COLUMNS_MAX ? [`${path}:${i + 1}: too wide`] : []))
  return lines.length > LINES_MAX ? [`${path}: ${lines.length} lines`, ...wide] : wide
}

function escapes({ path, text }: SourceFile): string[] {
  const inCode = /\bas\s+any\b|:\s*any\b|<\s*any\b|\bany\[\]/.test(codeOnly(text))
  const inComments = /@ts-(?:ignore|expect-error|nocheck)\b|(?:\/\/|\/\*)\s*biome-ignore\b|\beslint-disable\b/
  return inCode || inComments.test(text) ? [`${path}: switches the type checker or the linter off`] : []
}

function stubs({ path, text }: SourceFile): string[] {
  const word = /\b(?:TO[D]O|FIX[M]E|XX[X])\b/.exec(text)
  return word === null ? [] : [`${path}: leaves a ${word[0]}`]
}

function fileName({ path }: SourceFile): string[] {
  const banned = basename(path)
    .split(/[-._]/)
    .find((part) => BANNED_NAMES.includes(part))
  return banned === undefined ? [] : [`${path}: "${banned}" says nothing`]
}

function opening({ path, text }: SourceFile): string[] {
  const first = text.replace(/^#![^\n]*\n/, '').split('\n', 1)[0] ?? ''
  const saysWhatItIsFor = /^\/\/ \S/.test(first) || first.startsWith('/**')
  return saysWhatItIsFor ? [] : [`${path}: does not open with a sentence that says what it is for`]
}

function barrel({ path, text }: SourceFile): string[] {
  const reExport = /\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*['"][^'"]+['"];?/g
  const code = withoutComments(text)
  const onlyReExports = reExport.test(code) && code.replace(reExport, '').trim() === ''
  return onlyReExports && !BARRELS.includes(path) ? [`${path}: is a barrel`] : []
}

function defaultExport({ path, text }: SourceFile): string[] {
  const exported = /\bexport\s+default\b|\bas\s+default\b/.test(codeOnly(text))
  return exported && !path.startsWith('routes/') ? [`${path}: default exports are for Fastify plugins`] : []
}

function environment({ path, text }: SourceFile): string[] {
  const read = isShipped(path) && /\bprocess\s*\.\s*env\b/.test(codeOnly(text))
  return read && !ENVIRONMENT_READERS.includes(path) ? [`${path}: only src/config.ts reads process.env`] : []
}

function idleTest({ path, text }: SourceFile): string[] {
  const idle = /\b(?:it|test|describe)(?:\.\w+)*\.(?:skip|only|todo|fails)\b/.test(codeOnly(text))
  return idle ? [`${path}: has a test that does not run`] : []
}

/** A property with a seed of its own, or none, is red by chance and not searched by `npm run fuzz`. */
function ownSeed({ path, text }: SourceFile): string[] {
  const own = /\bfc\s*\.\s*(?:assert|check|sample)\b/.test(codeOnly(text))
  return own && path !== 'test/support/property.ts' ? [`${path}: checks a property without holds()`] : []
}

/** A fresh clone has nothing beside it. */
function outside({ path, text }: SourceFile): string[] {
  if (/\.\.\/shared\b/.test(text)) return [`${path}: names a folder beside the checkout`]
  const relative = [...withoutComments(text).matchAll(/^(?:import|export)\b[^'"\n]*['"](\.[^'"]*)['"]/gm)]
  const leaves = relative.some((match) => join(dirname(path), match[1] ?? '').startsWith('..'))
  return leaves ? [`${path}: imports from beside the checkout`] : []
}

/** What a tool has left, such as a profile, is committed by mistake. */
function binary({ path, text }: SourceFile): string[] {
  return text.includes('\0') ? [`${path}: is no text`] : []
}

interface Packages {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

function dependencies(packages: Packages, page: string): string[] {
  const used = Object.keys({ ...packages.dependencies, ...packages.devDependencies })
  const rows = [...page.matchAll(/^\|\s*`([^`]+)`\s*\|/gm)].map((match) => match[1] ?? '')
  return [
    ...used.filter((name) => !rows.includes(name)).map((name) => `${name}: has no row`),
    ...rows.filter((name) => !used.includes(name)).map((name) => `${name}: has a row, is not used`),
  ]
}

const typescript = filesBelow(['src', 'routes', 'test', 'bench', 'scripts'], ['.ts'])
const tests = filesBelow(['test'], ['.ts'])
const everything = filesBelow([''], []).filter(({ path }) => !/\.(?:jsonl|png|tgz)$/.test(path))

describe('the files', () => {
  it.each([
    ['stay short and narrow', size],
    ['keep the type checker and the linter on', escapes],
    ['leave nothing for later', stubs],
    ['have names that say something', fileName],
    ['open with what they are for', opening],
    ['are not barrels', barrel],
    ['export by name', defaultExport],
    ['leave the environment to the configuration', environment],
  ] as const)('%s', (_habit, check) => {
    expect(typescript.flatMap(check)).toEqual([])
  })

  it('contain only tests that run', () => {
    expect(tests.flatMap(idleTest)).toEqual([])
  })

  it('check properties with the seed of the run', () => {
    expect(tests.flatMap(ownSeed)).toEqual([])
  })

  it('need nothing from beside the checkout', () => {
    expect(everything.flatMap(outside)).toEqual([])
  })

  it('are texts, unless their names say what else', () => {
    expect(everything.flatMap(binary)).toEqual([])
  })

  it('say why each dependency is there', () => {
    const read = (path: string): string => everything.find((file) => file.path === path)?.text ?? ''
    expect(dependencies(JSON.parse(read('package.json')), read('docs/dependencies.md'))).toEqual([])
  })
})

const beside = ['..', 'shared', 'x'].join('/')

describe('each rule can fail', () => {
  it.each([
    [size, 'src/hv/bits.ts', 'a\n'.repeat(LINES_MAX + 1)],
    [size, 'src/hv/bits.ts', 'a'.repeat(COLUMNS_MAX + 1)],
    [escapes, 'src/hv/bits.ts', 'const a = b as any'],
    [escapes, 'src/hv/bits.ts', 'function f(a: any) {}'],
    [escapes, 'src/hv/bits.ts', 'const a = new Map<any, string>()'],
    [escapes, 'src/hv/bits.ts', `// @${'ts'}-ignore`],
    [escapes, 'src/hv/bits.ts', `// @${'ts'}-expect-error: wrong`],
    [escapes, 'src/hv/bits.ts', `// ${'biome'}-ignore lint: no`],
    [stubs, 'src/hv/bits.ts', `// ${'TO'}DO later`],
    [stubs, 'src/hv/bits.ts', `// ${'FIX'}ME later`],
    [stubs, 'src/hv/bits.ts', `// ${'XX'}X later`],
    [fileName, 'src/hv/utils.ts', ''],
    [fileName, 'src/hv/bit-helpers.ts', ''],
    [fileName, 'src/hv/data.test.ts', ''],
    [opening, 'src/hv/bits.ts', 'export const a = 1'],
    [opening, 'src/hv/bits.ts', ''],
    [barrel, 'src/hv/index.ts', "// All of it.\nexport * from './bits.js'\nexport { a } from './a.js'"],
    [defaultExport, 'src/hv/bits.ts', 'export default function f() {}'],
    [defaultExport, 'src/hv/bits.ts', 'export { f as default }'],
    [environment, 'src/engine/clock.ts', 'const zone = process.env.TZ'],
    [idleTest, 'test/hv/bits.test.ts', `${'it'}.skip('works', () => {})`],
    [idleTest, 'test/hv/bits.test.ts', `${'describe'}.only('bits', () => {})`],
    [idleTest, 'test/hv/bits.test.ts', `${'test'}.todo('bits')`],
    [ownSeed, 'test/hv/bits.test.ts', 'fc.assert(property, { seed: 7 })'],
    [outside, 'README.md', `see ${beside}`],
    [binary, 'profile', 'PERFILE2h\0\0'],
    [outside, 'src/hv/bits.ts', "import { a } from '../../../other/a.js'"],
  ] as const)('%o on %s: %s', (check, path, text) => {
    expect(check({ path, text })).toHaveLength(1)
  })

  it.each([
    [size, 'src/hv/bits.ts', `${'a'.repeat(COLUMNS_MAX)}\n`.repeat(LINES_MAX)],
    [escapes, 'src/hv/bits.ts', "// which actor: any name\nconst kinds = ['any']\nconst text = 'as any'"],
    [stubs, 'src/hv/bits.ts', '// 0xxx, todos'],
    [fileName, 'src/api/database.ts', ''],
    [opening, 'src/cli/main.ts', '#!/usr/bin/env node\n// The command.'],
    [opening, 'src/hv/bits.ts', '/** Bit fields. */'],
    [barrel, 'src/client/index.ts', "export { a } from './a.js'"],
    [barrel, 'src/hv/bits.ts', "export { a } from './a.js'\nexport const b = 1"],
    [defaultExport, 'routes/msrs.ts', 'export default function f() {}'],
    [environment, 'src/config.ts', 'const zone = process.env.TZ'],
    [idleTest, 'test/hv/bits.test.ts', "it.each([1])('skips nothing', () => {})"],
    [ownSeed, 'test/hv/bits.test.ts', 'holds(fc.property(fc.nat(), () => {}), 300) // not fc.assert'],
    [outside, 'src/hv/bits.ts', "import { a } from '../synic/a.js'"],
  ] as const)('and can pass: %o on %s: %s', (check, path, text) => {
    expect(check({ path, text })).toEqual([])
  })

  it('asks for a row a dependency, and a dependency a row', () => {
    const page = '| `zod` | schemas |\n| `left-pad` | spaces |\n'
    const packages = { dependencies: { zod: '4.0.0' }, devDependencies: { vitest: '4.0.0' } }
    expect(dependencies(packages, page)).toEqual(['vitest: has no row', 'left-pad: has a row, is not used'])
  })
})
