/** When two results are the same, and where they are not. */
import { expect, it } from 'vitest'
import { differences, FIELDS_MAX } from '../../src/replay/compare.js'

it.each([
  ['equal', { ok: true, value: '0x1' }, { ok: true, value: '0x1' }],
  ['null for missing', { ok: true, fault: null }, { ok: true }],
  ['an empty list for missing', { ok: true }, { ok: true, irqs: [] }],
  ['the same inside', { dump: { msg_page: null, irr: [] } }, { dump: {} }],
  ['a u64 with other letters', { value: '0x00FA1001' }, { value: '0xfa1001' }],
  ['a u64 as a number', { value: 255 }, { value: '0xff' }],
  ['bytes in upper case', { hex: 'AB' }, { hex: 'ab' }],
] as const)('is the same: %s', (_what, expected, actual) => {
  expect(differences(expected, actual)).toEqual([])
})

it.each([
  [{ ok: true }, { ok: false }, ['ok']],
  [{ value: '0x1' }, {}, ['value']],
  [{}, { value: '0x1' }, ['value']],
  [{ irqs: [{ vcpu: 0, vector: 242 }] }, { irqs: [{ vcpu: 0, vector: 243 }] }, ['irqs[0].vector']],
  [{ irqs: [{ vcpu: 0, vector: 242 }] }, {}, ['irqs']],
  [{ dump: { sints: ['0x1'] } }, { dump: { sints: ['0x2'] } }, ['dump.sints[0]']],
  [{ fault: 'gp' }, { fault: 'GP' }, ['fault']],
  [{ vector: 1 }, { vector: -1 }, ['vector']],
] as const)('differs: %o and %o', (expected, actual, fields) => {
  expect(differences(expected, actual).map(({ field }) => field)).toEqual(fields)
})

it('says what was expected, with null for nothing', () => {
  expect(differences({ value: '0x1' }, {})).toEqual([{ field: 'value', expected: '0x1', actual: null }])
})

it('lists a bounded number of fields', () => {
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, i + 1]))
  expect(differences(many, {})).toHaveLength(FIELDS_MAX)
})
