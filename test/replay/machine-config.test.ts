/** `--option name=value`. */
import { expect, it } from 'vitest'
import { parseOptions } from '../../src/replay/machine-config.js'

it.each([
  [[], {}],
  [
    ['apicv=true', 'scontrol_reset=0x1', 'irqchip=split'],
    { apicv: true, scontrol_reset: 1, irqchip: 'split' },
  ],
  [['cpuid.eax=4', 'cpuid.edx=0'], { cpuid: { eax: 4, edx: 0 } }],
])('%o', (pairs, options) => {
  expect(parseOptions(pairs)).toEqual(options)
})

it.each([
  [['apicv'], '--option apicv: must be written name=value'],
  [['apicv=maybe'], '--option apicv: expected boolean'],
  [['disabled_write=panic'], '--option disabled_write: expected one of'],
  [['speed=1'], '--option speed: is none of enforce_cpuid, '],
  [['cpuid.ecx=1'], '--option ecx: is none of '],
])('refuses %o', (pairs, why) => {
  expect(() => parseOptions(pairs)).toThrow(why)
})
