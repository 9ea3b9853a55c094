/** Timers whose expiry nobody hears of: no slot, page, unmasked SINT, APIC or vector to come by. */
import { expect, it } from 'vitest'
import { timerOnMaskedSint } from '../../src/audit/rules/timer-on-masked-sint.js'
import { timerWithoutSlot } from '../../src/audit/rules/timer-without-slot.js'
import { timerWithoutVector } from '../../src/audit/rules/timer-without-vector.js'
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
const TICKS = 'v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=10'
const DEAD = 'timer_without_slot 400000b0'
const WAITS = 'timer_without_slot? 400000b0'
const PROFILES = ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const
const all = (said: string) => ({ 'kvm-synic2': said, qemu: said, openvmm: said, tlfs: said })
// OpenVMM looks again at every entry, and its page takes messages whether or not it shows.
const butOpenvmm = (said: string) => ({ ...all(said), openvmm: '' })
const onKvm = (said: string) => ({ ...all(''), 'kvm-synic2': said, qemu: said })

it.each([
  ['a one-shot, delivered', [SHOT, 'advance 20'], all('')],
  ['a one-shot behind a full slot that is flagged', ['post v0 s3 t=1', SHOT, 'advance 20'], all('')],
  [
    'a one-shot whose slot was emptied without EOM',
    ['post v0 s3 t=1', SHOT, 'advance 20', 'poke 0x10300=00000000'],
    butOpenvmm(DEAD),
  ],
  [
    'a one-shot whose flag was wiped out with the message still there',
    ['post v0 s3 t=1', SHOT, 'advance 20', 'poke 0x10305=00'],
    butOpenvmm(DEAD),
  ],
  ['a one-shot while SIMP is off', ['v0 x SIMP=0', SHOT, 'advance 20'], butOpenvmm(WAITS)],
  [
    'a one-shot when SIMP came too late, and nobody writes EOM',
    ['v0 x SIMP=0', SHOT, 'advance 20', 'v0 x SIMP=0x10001'],
    butOpenvmm(DEAD),
  ],
  [
    'a one-shot when SIMP came late, then EOM',
    ['v0 x SIMP=0', SHOT, 'advance 20', 'v0 x SIMP=0x10001 EOM=0'],
    all(''),
  ],
  ['a one-shot while SCONTROL is off', ['v0 x SCONTROL=0', SHOT, 'advance 20'], { ...all(''), tlfs: WAITS }],
  ['a one-shot, masked: its message is in the slot', ['v0 x SINT3=0x100f3', SHOT, 'advance 20'], all('')],
  [
    'a one-shot of a vCPU that has gone offline',
    ['v0 x SIMP=0', SHOT, 'advance 20', 'v0 x SIMP=0x10001', 'offline v0'],
    all(''),
  ],
  ['a periodic one that ticks', [TICKS, 'advance 200'], all('')],
  ['a periodic one before a full slot', ['post v0 s3 t=1', TICKS, 'advance 200'], all('')],
  ['a periodic one while SIMP is off', ['v0 x SIMP=0', TICKS, 'advance 20'], butOpenvmm(WAITS)],
  [
    'a periodic one that SIMP comes too late for stands still',
    ['v0 x SIMP=0', TICKS, 'advance 20', 'v0 x SIMP=0x10001', 'advance 200'],
    butOpenvmm(DEAD),
  ],
  [
    'a periodic one that an EOM sets going again',
    ['v0 x SIMP=0', TICKS, 'advance 20', 'v0 x SIMP=0x10001 EOM=0', 'advance 200'],
    all(''),
  ],
  ['a direct one', ['v0 x STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=10', 'advance 20'], all('')],
  [
    'a direct one-shot under an APIC that is off',
    ['apic v0 off', 'v0 x STIMER0_CONFIG=0x1ed1 STIMER0_COUNT=10', 'advance 20'],
    onKvm(WAITS),
  ],
  [
    'a direct one-shot, and the APIC is on again: nobody retries',
    ['apic v0 off', 'v0 x STIMER0_CONFIG=0x1ed1 STIMER0_COUNT=10', 'advance 20', 'apic v0 on'],
    onKvm(DEAD),
  ],
  [
    'a direct periodic one that stands still since the APIC was off',
    ['apic v0 off', 'v0 x STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=10', 'advance 20', 'apic v0 on', 'advance 200'],
    onKvm(DEAD),
  ],
  [
    'a direct one that was written anew',
    [
      'apic v0 off',
      'v0 x STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=10',
      'advance 20',
      'apic v0 on',
      'v0 x STIMER0_COUNT=10',
      'advance 20',
    ],
    all(''),
  ],
] as const)('%s', (_why, lines, expected) => {
  for (const profile of PROFILES) {
    const m = audited({ profile }, timerWithoutSlot).run(UP, ...lines, 'settle')
    expect([profile, m.said().join()]).toEqual([profile, expected[profile]])
  }
})

const NO_VECTOR = 'timer_without_vector'

it.each([
  ['a vector that can be taken', ['v0 x STIMER0_CONFIG=0x1101'], []],
  ['vector 0', ['v0 x STIMER0_CONFIG=0x1001'], [`${NO_VECTOR} x 400000b0`]],
  ['the last vector that cannot', ['v0 x STIMER3_CONFIG=0x10f1'], [`${NO_VECTOR} x 400000b6`]],
  ['message mode has no vector', ['v0 x STIMER0_CONFIG=0x30001'], []],
  ['not enabled', ['v0 x STIMER0_CONFIG=0x1000'], []],
  ['by nobody named', ['v0 STIMER0_CONFIG=0x1001'], [`${NO_VECTOR}? 400000b0`]],
  ['stored by the host', ['v0 host STIMER0_CONFIG=0x1001'], [`${NO_VECTOR}? 400000b0`]],
  [
    'armed by its count, told once',
    ['v0 x STIMER0_CONFIG=0x1008 STIMER0_COUNT=5 STIMER0_COUNT=9'],
    [`${NO_VECTOR} x 400000b1`],
  ],
] as const)('a direct timer with %s', (_why, lines, expected) => {
  for (const profile of PROFILES) {
    expect(
      audited({ profile }, timerWithoutVector)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  }
})
