/** The rules know ops, results, state and claims: no driver, no scenario, no known bug. */
import { expect, it } from 'vitest'
import { RULES } from '../../src/audit/rules.js'
import { filesBelow } from './source.js'

const STRANGERS = /\b(?:vmbus|mshv|ipxe|freebsd|winload|linux kexec|BZ-\d+|kexec-[a-z0-9]+)\b/i

it('names no driver, no scenario and no entry of a bug list in a rule', () => {
  const rules = filesBelow(['src/audit/rules'], ['.ts'])
  expect(rules.length).toBeGreaterThan(1)
  // What follows the import block is what the rule looks at; its head may cite where the invariant was
  // learned.
  const code = rules.map(({ path, text }) => ({ path, code: text.slice(text.indexOf('import ')) }))
  expect(code.filter((rule) => STRANGERS.test(rule.code)).map(({ path }) => path)).toEqual([])
})

it('has one rule a file, each with a name of its own', () => {
  const names = RULES.map(({ rule }) => rule)
  expect(new Set(names).size).toBe(names.length)
  const files = filesBelow(['src/audit/rules'], ['.ts']).map(({ path }) => path.split('/').at(-1))
  expect(RULES.length).toBeLessThanOrEqual(files.length)
})
