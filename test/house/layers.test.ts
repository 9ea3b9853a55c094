// Holds the sources to the import table: which layer may use which, and what the pure core may not touch.
import { dirname, join } from 'node:path/posix'
import { describe, expect, it } from 'vitest'
import { codeOnly, filesBelow, type SourceFile, withoutComments } from './source.js'

/** Layer to the layers it may import. A layer may always import itself; `*` is anything. */
const MAY_IMPORT: Readonly<Record<string, string>> = {
  'src/hv': '',
  'src/synic': 'hv',
  'src/audit': 'hv synic',
  'src/drivers': 'hv synic',
  'src/explore': 'hv synic audit drivers',
  'src/engine': 'hv synic audit drivers explore api',
  'src/api': 'hv synic',
  'src/streams': 'api',
  'src/client': 'api',
  'src/telemetry': 'engine',
  'src/cluster': 'engine api',
  'src/scenario': 'hv synic audit drivers api',
  'src/load': 'client api hv',
  'src/bench': 'hv synic audit api engine',
  'src/replay': 'hv synic audit api engine',
  'src/cli': 'client api drivers explore engine synic hv config main app replay load scenario bench',
  routes: 'api engine streams telemetry scenario',
  'src/config.ts': '*',
  'src/app.ts': '*',
  'src/main.ts': '*',
}

/** No clock, randomness, timers, promises, logging, node: or npm imports: same ops, same effects. */
const PURE = ['src/hv', 'src/synic', 'src/audit', 'src/drivers', 'src/explore']

/**
 * Layers whose packages are counted: the pure ones have none, the wire schemas and what they say must also
 * run in a client.
 */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(PURE.map((layer) => [layer, []])),
  'src/api': ['zod', 'fastest-levenshtein'],
}

const IMPURE: readonly [RegExp, string][] = [
  [/\bDate\s*\.\s*now\b/, 'Date.now'],
  [/\bnew\s+Date\b/, 'new Date'],
  [/\bperformance\s*\.\s*now\b/, 'performance.now'],
  [/\bMath\s*\.\s*random\b/, 'Math.random'],
  [/\b(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b/, 'a timer'],
  [/(?<![.\w$])console\s*\./, 'console'],
  [/(?<![.\w$])process\s*\./, 'process'],
  [/(?<![.\w$])(?:async|await)\b(?!\s*[:=])/, 'async or await'],
  [/\bPromise\b/, 'Promise'],
]

const STATEMENT = /^\s*(?:import|export)\b[^'"();]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]/gm
const CALL = /\b(?:import|require)\s*\(\s*['"]([^'"]+)['"]/g

function importsOf(text: string): string[] {
  const code = withoutComments(text)
  return [...code.matchAll(STATEMENT), ...code.matchAll(CALL)].map((match) => match[1] ?? match[2] ?? '')
}

/** `src/hv/bits.ts` is of `src/hv`, `routes/msrs.ts` of `routes`, `src/app.ts` of itself. */
function layerOf(path: string): string {
  const [top = '', second = ''] = path.split('/')
  return top === 'src' ? `${top}/${second.replace(/\.js$/, '.ts')}` : top
}

const shortName = (layer: string): string => layer.replace(/^src\//, '').replace(/\.ts$/, '')

const listed = (layer: string, name: string): boolean => {
  const row = (MAY_IMPORT[layer] ?? '').split(' ')
  return row.includes('*') || row.includes(name)
}

function checkImport(from: string, specifier: string): string | undefined {
  const layer = layerOf(from)
  if (!specifier.startsWith('.')) {
    const allowed = PACKAGES[layer]
    if (allowed === undefined || allowed.includes(specifier)) return undefined
    return `${from}: ${layer} may not import the package ${specifier}`
  }
  const target = layerOf(join(dirname(from), specifier))
  if (target === layer || listed(layer, shortName(target))) return undefined
  return `${from}: ${layer} may not import ${target}`
}

function checkLayers({ path, text }: SourceFile): string[] {
  if (MAY_IMPORT[layerOf(path)] === undefined) return [`${path}: ${layerOf(path)} has no row in the table`]
  return importsOf(text).flatMap((specifier) => checkImport(path, specifier) ?? [])
}

function checkPurity({ path, text }: SourceFile): string[] {
  if (!PURE.includes(layerOf(path))) return []
  const code = codeOnly(text)
  return IMPURE.filter(([pattern]) => pattern.test(code)).map(([, what]) => `${path}: uses ${what}`)
}

const sources = filesBelow(['src', 'routes'], ['.ts'])

describe('the sources', () => {
  it('import only what the table allows', () => {
    expect(sources.flatMap(checkLayers)).toEqual([])
  })

  it('keep clock, chance, timers, promises and logging out of the pure layers', () => {
    expect(sources.flatMap(checkPurity)).toEqual([])
  })
})

describe('the layer rule', () => {
  it.each([
    ['src/hv/a.ts', "import { b } from '../synic/b.js'", 'src/synic'],
    ['src/synic/a.ts', "import type { B } from '../engine/b.js'", 'src/engine'],
    ['src/synic/a.ts', "export { b } from '../audit/b.js'", 'src/audit'],
    ['src/engine/a.ts', "import {\n  b,\n  c,\n} from '../telemetry/b.js'", 'src/telemetry'],
    ['src/engine/a.ts', "const b = await import('../streams/b.js')", 'src/streams'],
    ['src/client/a.ts', "import '../engine/b.js'", 'src/engine'],
    ['src/engine/a.ts', "import { config } from '../config.js'", 'src/config.ts'],
    ['routes/a.ts', "import { build } from '../src/app.js'", 'src/app.ts'],
    ['src/api/a.ts', "import Fastify from 'fastify'", 'the package fastify'],
    ['src/hv/a.ts', "import { join } from 'node:path'", 'the package node:path'],
    ['src/drivers/a.ts', "import { z } from 'zod'", 'the package zod'],
    ['src/elsewhere/a.ts', '', 'no row'],
  ])('refuses in %s: %s', (path, text, why) => {
    expect(checkLayers({ path, text }).join()).toContain(why)
  })

  it.each([
    ['src/synic/a.ts', "import { b } from '../hv/b.js'\nimport { c } from './c.js'"],
    ['src/hv/a.ts', "// import { b } from '../engine/b.js'"],
    ['src/api/a.ts', "import { z } from 'zod'\nimport { b } from '../synic/op.js'"],
    ['src/app.ts', "import routes from '../routes/index.js'\nimport Fastify from 'fastify'"],
    ['src/cli/commands/serve.ts', "import { serve } from '../../main.js'\nimport { join } from 'node:path'"],
    ['src/cli/main.ts', "import { config } from '../config.js'"],
  ])('allows in %s: %s', (path, text) => {
    expect(checkLayers({ path, text })).toEqual([])
  })
})

describe('the purity rule', () => {
  it.each([
    'const now = Date.now()',
    'const now = new Date()',
    'const now = performance.now()',
    'const dice = Math.random()',
    'setTimeout(run, 5)',
    'setInterval(run, 5)',
    'setImmediate(run)',
    "console.log('here')",
    'const home = process.env.HOME',
    'export async function run() {}',
    'await run()',
    'let later: Promise<void>',
    'const text = `at ${Date.now()}`',
  ])('refuses %s', (text) => {
    expect(checkPurity({ path: 'src/synic/a.ts', text })).toHaveLength(1)
  })

  it.each([
    '// the caller may await a Promise; Date.now is not for us',
    "const text = 'console.log'",
    'const quotes = /[\'"`]/ // process.env',
    'const part = host.process.next',
  ])('allows %s', (text) => {
    expect(checkPurity({ path: 'src/synic/a.ts', text })).toEqual([])
  })

  it('leaves the outer layers alone', () => {
    expect(checkPurity({ path: 'src/engine/clock.ts', text: 'Date.now()' })).toEqual([])
  })
})
