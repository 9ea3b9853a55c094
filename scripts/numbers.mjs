// Constants of a module that are numbers: written as such, or worked out from others that are (ADR 8).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const IMPORT = /^import \{([^}]*)\} from '(\.[^']*)\.js'$/gm
const IMPORT_ALL = /^import \* as (\w+) from '(\.[^']*)\.js'$/gm
/** A constant; the lines that go on with it are indented. */
const CONSTANT = /^(export )?const ([A-Z][A-Z0-9_]*) =([^\n]*(?:\n +[^\n]*)*)$/gm
/** A name, perhaps of another module; not the letters of a hexadecimal number. */
const NAME = /(?<![\w.])[A-Za-z_][\w.]*/g
const CALCULATION = /^(?:0x[\da-f_]+|\d[\d_.]*|[-+*/|&^~<>()\s])+$/i

/**
 * @typedef {object} NumberConstant
 * @property {string} name
 * @property {number} value
 * @property {boolean} isExported
 * @property {number} at where its declaration begins in the source
 * @property {string} text its declaration
 */

/** @type {Map<string, NumberConstant[]>} */
const known = new Map()

/**
 * @param {string} path of a `.ts` file
 * @returns {NumberConstant[]} in the order of the source
 */
export function numbersOf(path) {
  const before = known.get(path)
  if (before !== undefined) return before
  /** @type {NumberConstant[]} */
  const found = []
  // What modules that import each other take from each other is not looked for.
  known.set(path, found)
  const source = readFileSync(path, 'utf8')
  const values = importedInto(path, source)
  for (const { index: at, ...match } of source.matchAll(CONSTANT)) {
    const { 0: text, 1: exported, 2: name, 3: expression } = match
    const value = calculate(expression, values)
    if (value === undefined) continue
    values.set(name, value)
    found.push({ name, value, isExported: exported !== undefined, at, text })
  }
  return found
}

/**
 * @param {string} path
 * @param {string} source
 * @returns {Map<string, number>} values of other modules, by their names in this one
 */
function importedInto(path, source) {
  const values = new Map()
  const exportsOf = (/** @type {string} */ from) =>
    numbersOf(`${join(path, '..', from)}.ts`).filter(({ isExported }) => isExported)
  for (const [, names, from] of source.matchAll(IMPORT)) {
    const exported = new Map(exportsOf(from).map(({ name, value }) => [name, value]))
    for (const each of names.split(',')) {
      const [name, as = name] = each.trim().split(' as ')
      if (exported.has(name)) values.set(as, exported.get(name))
    }
  }
  for (const [, as, from] of source.matchAll(IMPORT_ALL)) {
    for (const { name, value } of exportsOf(from)) values.set(`${as}.${name}`, value)
  }
  return values
}

/**
 * @param {string} expression
 * @param {Map<string, number>} values
 * @returns {number | undefined} undefined: it is no number, or not known as one
 */
function calculate(expression, values) {
  const calculation = expression.replace(NAME, (name) => (values.has(name) ? `(${values.get(name)})` : name))
  if (!CALCULATION.test(calculation)) return undefined
  const value = new Function(`return ${calculation.trim()}`)()
  return Number.isFinite(value) ? value : undefined
}
