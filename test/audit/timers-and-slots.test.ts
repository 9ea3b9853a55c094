/** Timers whose expiry nobody hears of: on a masked SINT, on SINT0, or without a slot to come to. */
import { expect, it } from 'vitest'
import { timerOnMaskedSint } from '../../src/audit/rules/timer-on-masked-sint.js'
import { timerWithoutSlot } from '../../src/audit/rules/timer-without-slot.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SINT3=0xf3 SCONTROL=1'
const MASKED = 'timer_on_masked_sint'

it.each([
  ['on an unmasked SINT', ['v0 x STIMER0_CONFIG=0x30001'], []],
  ['direct: no SINT matters', ['v0 x STIMER0_CONFIG=0x1ed1'], []],
  ['not enabled yet', ['v0 x STIMER0_CONFIG=0x20000'], []],
  ['on a masked one', ['v0 x STIMER0_CONFIG=0x20001'], [`${MASKED} x 400000b0`]],
  ['the same by nobody named', ['v0 host STIMER0_CONFIG=0x20001'], [`${MASKED}? 400000b0`]],
  ['on SINT0', ['v0 x SINT0=0xf4 STIMER1_CONFIG=0x1'], [`${MASKED} x 400000b2`]],
  [
    'armed by its count, told once',
    ['v0 x STIMER0_CONFIG=0x20008 STIMER0_COUNT=5 STIMER0_COUNT=9'],
    [`${MASKED} x 400000b1`],
  ],
  ['a count of 0 arms nothing', ['v0 x STIMER0_CONFIG=0x20008 STIMER0_COUNT=0'], []],
  ['a count without auto-enable', ['v0 x STIMER0_CONFIG=0x20000 STIMER0_COUNT=5'], []],
  ['unmasked first', ['v0 x SINT2=0xf4 STIMER0_CONFIG=0x20001'], []],
] as const)('%s', (_why, lines, expected) => {
  for (const profile of ['kvm-synic2', 'tlfs', 'openvmm'] as const) {
    expect(
      audited({ profile }, timerOnMaskedSint)
        .run(UP, ...lines)
        .said(),
    ).toEqual(expected)
  }
})

const SHOT = 'v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=10'
const RULE = 'timer_without_slot'
const all = (said: string) => ({ 'kvm-synic2': said, qemu: said, openvmm: said, tlfs: said })

it.each([
  ['delivered', [SHOT, 'advance 20'], all('')],
  ['behind a full slot that is flagged', ['post v0 s3 t=1', SHOT, 'advance 20'], all('')],
  [
    'the slot was emptied without EOM',
    ['post v0 s3 t=1', SHOT, 'advance 20', 'poke 0x10300=00000000'],
    { ...all(RULE), openvmm: '' },
  ],
  [
    'the flag was wiped out with the message still there',
    ['post v0 s3 t=1', SHOT, 'advance 20', 'poke 0x10305=00'],
    { ...all(RULE), openvmm: '' },
  ],
  // OpenVMM's page takes messages whether or not it shows.
  ['SIMP is off', ['v0 x SIMP=0', SHOT, 'advance 20'], { ...all(`${RULE}?`), openvmm: '' }],
  [
    'SIMP came too late, and nobody writes EOM',
    ['v0 x SIMP=0', SHOT, 'advance 20', 'v0 x SIMP=0x10001'],
    { ...all(RULE), openvmm: '' },
  ],
  ['SIMP came late, then EOM', ['v0 x SIMP=0', SHOT, 'advance 20', 'v0 x SIMP=0x10001 EOM=0'], all('')],
  ['SCONTROL off', ['v0 x SCONTROL=0', SHOT, 'advance 20'], { ...all(''), tlfs: `${RULE}?` }],
  ['masked: its message is in the slot', ['v0 x SINT3=0x100f3', SHOT, 'advance 20'], all('')],
  [
    'a periodic one comes again',
    ['v0 x SIMP=0 STIMER0_CONFIG=0x30003 STIMER0_COUNT=10', 'advance 20', 'v0 x SIMP=0x10001'],
    all(''),
  ],
  [
    'nobody comes on an offline vCPU',
    ['v0 x SIMP=0', SHOT, 'advance 20', 'v0 x SIMP=0x10001', 'offline v0'],
    all(''),
  ],
] as const)('a one-shot, %s', (_why, lines, expected) => {
  for (const profile of ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const) {
    const m = audited({ profile }, timerWithoutSlot).run(UP, ...lines, 'settle')
    expect([profile, m.said().join()]).toEqual([profile, expected[profile]])
  }
})
