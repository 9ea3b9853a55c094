/** I20: what the host writes is stored, and nothing else happens; what profiles document is theirs. */
import { expect, it } from 'vitest'
import { hostWrite } from '../../src/audit/rules/host-write.js'
import { EFFECT_IRQ } from '../../src/synic/effects.js'
import { CONFIG, TIMERS } from '../../src/synic/layout.js'
import type { ProfileName } from '../../src/synic/profile.js'
import { audited } from '../support/audited.js'

const PROFILES: ProfileName[] = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs']

it.each(PROFILES)('%s: a restore, memory first', (profile) => {
  const m = audited({ profile }, hostWrite).run(
    'poke 0x10200=01000000',
    'poke 0x11200=20000000',
    'v0 host SCONTROL=1 SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SVERSION=1',
    'v0 host STIMER0_CONFIG=0x20008 STIMER0_COUNT=1000 STIMER1_CONFIG=0 STIMER1_COUNT=0',
    'v0 guest SINT2=0xf3',
  )
  expect(m.said()).toEqual([])
})

it('an enabled timer runs, whoever wrote it', () => {
  const m = audited({ profile: 'kvm-synic2' }, hostWrite)
  m.run('v0 host SIMP=0x10001 SINT2=0xf3 STIMER0_COUNT=1 STIMER0_CONFIG=0x20001', 'advance 10')
  expect(m.said()).toEqual([])
})

it('a queue that an unmasked SINT would release stays where it is when the host unmasks it', () => {
  const m = audited({ profile: 'tlfs', options: { masked_blocks_messages: true } }, hostWrite)
  m.run('v0 vmbus SIMP=0x10001 SINT2=0x100f3 SCONTROL=1', 'post v0 s2 t=1', 'v0 host SINT2=0xf3')
  expect(m.said()).toEqual([])
})

it.each([
  ['an interrupt', 'v0 host SINT2=0xf3', 'does more than store a value'],
  ['a timer armed', 'v0 host STIMER0_COUNT=100', 'arms a timer'],
  ['a page zeroed', 'v0 host SIMP=0x10001', 'changes what stands in its page'],
] as const)('guards the machine itself: %s', (_why, line, why) => {
  const m = audited({ profile: 'kvm-synic2' }, hostWrite).run('poke 0x10200=01000000', line)
  const { effects, memory, w } = m.partition.machine
  if (why.startsWith('does')) effects.push(EFFECT_IRQ, 0, 0xf3, 0)
  else if (why.startsWith('arms')) w[TIMERS + CONFIG] |= 1
  else memory.bytes(memory.writableFrameAt(0x10)).fill(0)
  m.auditor.after()
  expect(m.auditor.found).toMatchObject([{ severity: 'error', text: expect.stringContaining(why) }])
})
