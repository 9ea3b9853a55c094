/**
 * An auditor that cries wolf is switched off: no rule finds an error in KVM's own traces or in the orders
 * that shipping software uses, and none stumbles over ops at random.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RULES } from '../../src/audit/rules.js'
import { audited } from '../support/audited.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const FOLDER = join(import.meta.dirname, '../conformance/kvm')
const files = [...readdirSync(FOLDER), ...readdirSync(join(FOLDER, 'ext')).map((name) => join('ext', name))]
const traces = files.filter((name) => name.endsWith('.jsonl'))

/** Rules of liveness that hold wherever a trace stops: no guest needs to have finished anything for them. */
const ALWAYS_JUDGED = ['interrupt_gate', 'lost_wake', 'timer_contract', 'progress']

describe('golden traces of KVM', () => {
  it.each(traces)('%s', (name) => {
    const [header, ...lines] = readFileSync(join(FOLDER, name), 'utf8').trim().split('\n')
    const { profile, gpa_limit } = JSON.parse(header)
    const m = audited({ profile, vcpus: 0, gpaPages: Number(BigInt(gpa_limit) >> 12n) }, ...RULES)
    for (const line of lines) m.do(JSON.parse(line).in)
    m.run('settle')
    const errors = m.violations.filter(({ severity, seq, rule }) => {
      // A trace stops where it stops, which is no rest: only what holds at any time is judged there.
      return severity === 'error' && (seq < m.partition.seq || ALWAYS_JUDGED.includes(rule))
    })
    expect(errors).toEqual([])
  })
})

const UP = 'v0 vmbus SIMP? SIMP=0x10001 SIEFP? SIEFP=0x11001 SINT2? SINT2=0xf3 SCONTROL? SCONTROL=1'
const MESSAGE = ['post v0 s2 t=1', 'take v0', 'done v0 s2 by vmbus', 'eoi v0']
const PROFILES = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const

/** Orders of writes that are published and correct. */
const ORDERS = {
  'Linux VMBus, up, at work and down': [
    UP,
    ...MESSAGE,
    'v0 vmbus STIMER0_COUNT=0 STIMER0_CONFIG=0 SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0',
    'settle',
  ],
  'FreeBSD, SCONTROL first on its way down': [
    'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SINT4=0x200f3 SCONTROL=1',
    'post v0 s2 t=1',
    'take v0',
    'poke 0x10200=00000000 by vmbus',
    'settle',
    'v0 vmbus SCONTROL=0 SINT2=0x300f3 SINT4=0x300f3 SIMP=0 SIEFP=0',
    'settle',
  ],
  'iPXE, down': [
    'v0 ipxe SIMP=0x10001 SIEFP=0x11001 SCONTROL=1 SINT2=0x20075',
    'v0 ipxe EOM=0',
    'v0 ipxe EOM=0',
    'v0 ipxe SINT2=0x10075 SCONTROL=0 SIEFP=0 SIMP=0',
    'settle',
  ],
  'FreeBSD, up, a timer and a message on one vector': [
    'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SINT4=0x200f3 SCONTROL=1',
    'v0 vmbus STIMER0_CONFIG=0x40009 STIMER0_COUNT=100',
    'advance 200',
    'take v0',
    'done v0 s4 by vmbus',
    'settle',
  ],
  'FreeBSD, its handler stores type 0 and then reads the flag': [
    'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SCONTROL=1',
    'post v0 s2 t=1',
    'take v0',
    'poke 0x10200=00000000 by vmbus',
    'v0 vmbus EOM=0',
    'settle',
  ],
  'UEFI firmware, which never writes SCONTROL': [
    'v0 firmware SIMP? SIEFP? SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3',
    'v0 firmware SINT2=0x100f3 SIMP=0 SIEFP=0',
    'settle',
  ],
  'QEMU, machine reset': [
    UP,
    'v0 host SCONTROL=0 SIEFP=0 SIMP=0 SINT2=0x10000 STIMER0_CONFIG=0 STIMER0_COUNT=0',
    'v0 host SIMP=0 SINT5=0x10000 SIEFP=0 SCONTROL=0',
    'settle',
  ],
  'a VMM restoring, registers after memory': [
    'pause',
    'v0 host SCONTROL=1 SIEFP=0x11001 SIMP=0x10001 SINT2=0xf3 STIMER0_CONFIG=0x20008 STIMER0_COUNT=0',
    'v0 host STIMER1_CONFIG=0 STIMER1_COUNT=0',
    'resume',
    'settle',
  ],
  'a crash kernel that polls, unloads and goes on': [
    UP,
    UP.replace('v0', 'v1').replace('0x10001', '0x12001').replace('0x11001', '0x13001'),
    'post v0 s2 t=1',
    'poke 0x10200=00000000 by vmbus',
    'v1 vmbus EOM=0',
    'v1 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0',
    'boot kdump crash',
    'settle',
  ],
}

describe.each(PROFILES)('on %s', (profile) => {
  it.each(Object.entries(ORDERS))('%s', (_who, lines) => {
    const m = audited({ profile, kind: 'guest', vcpus: 2 }, ...RULES).run(...lines)
    expect(m.violations.filter(({ severity }) => severity === 'error')).toEqual([])
  })
})

it('judges random ops of any machine without stumbling', () => {
  const run = fc.property(randomSetup, randomOps(80), (setup, ops) => {
    const m = audited(setup, ...RULES)
    for (const op of ops) m.do(op)
    m.run('settle')
  })
  holds(run, 200)
})
