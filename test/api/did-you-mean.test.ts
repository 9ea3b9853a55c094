/** Which word was meant, and when that is not asked. */
import { expect, it } from 'vitest'
import { didYouMean, registerHint } from '../../src/api/did-you-mean.js'

const OPS = ['msr.write', 'msr.read', 'clock.advance']

it.each([
  ['two letters in the other order', 'msr.wirte', '; did you mean "msr.write"?'],
  ['capitals', 'MSR.READ', '; did you mean "msr.read"?'],
  ['nothing like it', 'xyzzy', ''],
  ['the word itself', 'msr.read', ''],
  ['no word', '', ''],
])('%s', (_, written, hint) => {
  expect(didYouMean(written, OPS)).toBe(hint)
})

it('knows registers, and how many SINTs there are', () => {
  expect(registerHint('SCONTROLL')).toBe('; did you mean "SCONTROL"?')
  expect(registerHint('SINT16')).toBe('; a vCPU has SINT0 to SINT15')
})

it('is not asked of what is longer than any name: to look through megabytes would take long', () => {
  const known = ['a'.repeat(90)]
  expect(didYouMean('a'.repeat(100), known)).not.toBe('')
  expect(didYouMean('a'.repeat(101), known)).toBe('')
})
