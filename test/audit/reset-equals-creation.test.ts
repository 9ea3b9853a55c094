/** I5: a reset leaves nothing behind that creation does not make; each kind of remainder is found. */
import { expect, it } from 'vitest'
import { resetEqualsCreation } from '../../src/audit/rules/reset-equals-creation.js'
import { ISR, SCONTROL, SINT_TO_GSI, SINTS, TIMERS } from '../../src/synic/layout.js'
import type { Machine } from '../../src/synic/machine.js'
import { enqueue, keep, OWNER_HOST } from '../../src/synic/message-queue.js'
import type { ProfileName } from '../../src/synic/profile.js'
import { audited } from '../support/audited.js'

const BUSY = [
  'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SINT3=0xf4 SCONTROL=1',
  'route 24:v0.s2',
  'post v0 s2 t=1',
  'post v0 s2 t=1',
  'signal v0 s2 f5',
  'v0 t STIMER0_COUNT=10000 STIMER0_CONFIG=0x20003',
  'take v0',
]
const PROFILES: ProfileName[] = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs']

it.each(PROFILES)('%s: a busy machine, reset in every way', (profile) => {
  const m = audited({ profile, kind: 'guest', vcpus: 2 }, resetEqualsCreation)
  m.run(...BUSY, 'reset v0', ...BUSY, 'reset', ...BUSY, 'boot K2 reset', ...BUSY, 'boot K3')
  expect(m.said()).toEqual([])
})

it.each(['root', 'nested_root', 'l1vh'] as const)('what a %s finds provided is part of creation', (kind) => {
  const m = audited({ profile: 'tlfs', kind, vcpus: 2 }, resetEqualsCreation)
  expect(m.run('v0 mshv SIRBP=0x12001 SINT0=0xf3', 'post v0 s0 t=1', 'reset v0', 'reset').said()).toEqual([])
})

type Spoil = (m: Machine) => unknown

const queued: Spoil = (m) => {
  const message = { type: 1, bytes: 0, senderLo: 0, senderHi: 0, words: new Int32Array(0), at: 0 }
  enqueue(m, 0, 2, keep(m, message, OWNER_HOST, 0))
}

const SPOILS: [string, Spoil][] = [
  ['SCONTROL', (m) => (m.w[SCONTROL] |= 1)],
  ['the SINTs', (m) => (m.w[SINTS + 4] = 0xf3)],
  ['interrupts in service', (m) => (m.w[ISR + 3] |= 1)],
  ['the timers', (m) => (m.w[TIMERS] = 1)],
  ['a deadline', (m) => m.due.arm(0, 100)],
  ["SINT0's link to a GSI", (m) => (m.w[SINT_TO_GSI] = -1 & ~0xffff)],
  ['messages queued for SINT2', queued],
]

it.each(SPOILS)('finds %s', (what, spoil) => {
  const m = audited({ profile: 'tlfs' }, resetEqualsCreation)
  // The core resets what is spoilt before; so it is spoilt after the reset, and another op takes its place.
  const { auditor, partition } = m
  m.run('reset v0')
  spoil(partition.machine)
  auditor.after()
  expect(auditor.found.map(({ text }) => text)).toEqual([expect.stringContaining(what)])
})
