/** Drivers that find registers enabled or come again, and what a kernel leaves to the one after the next. */
import { describe, expect, it } from 'vitest'
import { checkScenario } from '../../src/scenario/document.js'
import { runScenario } from '../../src/scenario/run.js'
import { audited } from '../support/audited.js'

const tlfs = (kind: 'guest' | 'l1vh' = 'guest', vcpus = 1) => audited({ profile: 'tlfs', kind, vcpus })
const FIRMWARE = 'v0 firmware SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SCONTROL=1'

describe('whoever finds a register enabled and makes it its own', () => {
  it('is the one that a message goes to, and that leaves it', () => {
    const m = tlfs().run('attach SCONTROL SIMP SIEFP SINT2 by firmware', FIRMWARE, 'detach by firmware')
    m.run('attach SCONTROL SIMP SIEFP SINT2 by vmbus', 'claim 0x20000 by vmbus')
    m.run('v0 vmbus SIMP=0x20001 SIEFP=0x21001 SINT2=0xf3', 'post v0 s2 t=1', 'boot K2')
    expect(m.said()).toEqual([
      'stale_sint vmbus 40000092',
      'stale_page vmbus 40000082',
      'stale_page vmbus 40000083',
    ])
  })

  it('is the one that suffers where it is switched off', () => {
    const m = tlfs('l1vh').run(FIRMWARE, 'v0 vmbus SIMP=0x20001 SIEFP=0x21001 SINT2=0xf3 SCONTROL=1')
    m.run('v0 mshv SCONTROL=0', 'v0 vmbus SINT2=0x100f3 SIMP=0')
    expect(m.violations.filter(({ severity }) => severity === 'error')).toMatchObject([
      { rule: 'foreign_write', actor: 'mshv' },
      { rule: 'rug_pull', actor: 'mshv', other: 'vmbus' },
      { rule: 'write_under_foreign_disable', actor: 'vmbus', other: 'mshv' },
      { rule: 'disabled_write', actor: 'vmbus' },
      { rule: 'write_under_foreign_disable', actor: 'vmbus', other: 'mshv' },
      { rule: 'disabled_write', actor: 'vmbus' },
    ])
  })

  it.each([
    ['by moving the page, where nobody owns it', ['v0 loader SIMP=0x20001'], 'loader'],
    ['not by writing it back', ['v0 loader SIMP=0x10001'], 'firmware'],
    [
      'not where it belongs to another that is there',
      ['v0 vmbus SINT2=0x100f3', 'v0 mshv SIMP=0x20001'],
      'firmware',
    ],
  ])('%s', (_how, lines, leaver) => {
    const m = tlfs('guest').run('v0 firmware SIMP=0x10001', ...lines)
    m.violations.length = 0
    m.run('boot K2')
    expect(m.violations.map(({ rule, actor }) => [rule, actor])).toEqual([['stale_page', leaver]])
  })
})

describe('two drivers behind a correct arbiter', () => {
  it.each(['guest', 'l1vh'] as const)('may come and go in any nesting, again and again: %s', (kind) => {
    const a = 'v0 a SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
    const m = tlfs(kind).run('attach SCONTROL SIMP SIEFP SINT2 by a', a)
    m.run('attach SCONTROL SIMP SIEFP SINT4 by b', 'v0 b SINT4=0xf4', 'v0 a SINT2=0x100f3', 'detach by a')
    m.run('v0 b SINT4=0x100f4 SIMP=0 SIEFP=0 SCONTROL=0', 'detach by b')
    m.run('attach SCONTROL SIMP SIEFP SINT2 by a', a, 'v0 a SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0')
    expect(m.violations.filter(({ severity }) => severity === 'error')).toEqual([])
  })

  it('the owner of SCONTROL clears it in a guest, too, only when no other depends on it', () => {
    const m = tlfs().run('attach SIMP SIEFP SINT2 SCONTROL by vmbus', 'attach SINT4 by timer')
    m.run('v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1', 'v0 timer SINT4=0xf4')
    m.run('v0 vmbus SINT2=0x100f3 SCONTROL=0')
    expect(m.said()).toContain('rug_pull vmbus 40000080')
  })
})

describe('what is still armed', () => {
  const LEFT = ['stale_sint vmbus 40000092', 'stale_page vmbus 40000082', 'stale_page vmbus 40000083']
  const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SCONTROL=1'
  const note = (said: string) => said.replace(' ', '? ')

  it('is told again, as an error, when a crash no longer excuses it', () => {
    const m = tlfs().run(UP, 'boot kdump crash')
    expect(m.said()).toEqual(LEFT.map(note))
    m.violations.length = 0
    m.run('boot k3')
    expect(m.said()).toEqual(LEFT)
  })

  it('is told once if nothing has changed', () => {
    const m = tlfs().run(UP, 'boot k2', 'boot k3')
    expect(m.said()).toEqual(LEFT)
  })

  it('so are timers', () => {
    const m = tlfs().run('v0 stimer STIMER0_CONFIG=0x20009 STIMER0_COUNT=100000', 'boot k2 crash')
    m.run('boot k3 crash', 'boot k4', 'boot k5')
    const timers = m.violations.filter(({ rule }) => rule === 'stale_timer')
    expect(timers.map(({ severity }) => severity)).toEqual(['note', 'error'])
  })

  it('is an error at the next kernel, though a guest without a name was let off before', () => {
    const m = tlfs().run('v0 GUEST_OS_ID=0x8100000601000000 SIMP=0x10001', 'v0 GUEST_OS_ID=0', 'boot k2')
    expect(m.said()).toEqual(['stale_page? 40000083', 'stale_page 40000083'])
  })

  it("is the guest's, though a VMM has restored it", () => {
    const m = tlfs().run(UP, 'pause', 'v0 host SIMP=0x10001 SIEFP=0x11001', 'resume')
    m.run('v0 host SIMP=0x10001 SIEFP=0x11001', 'boot k2')
    expect(m.said()).toEqual(LEFT)
  })
})

it('a settle at the end of a scenario is told once', () => {
  const steps = ['v0 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1', 'post v0 s2 t=1', 'take v0', 'settle']
  const partition = { profile: 'tlfs', vcpus: 1 }
  const [run] = runScenario(checkScenario({ scenario: 's', title: 't', source: 's', partition, steps }))
  const told = run?.report.violations.map(({ rule }) => rule) ?? []
  expect(told.length).toBeGreaterThan(0)
  expect(new Set(told).size).toBe(told.length)
})
