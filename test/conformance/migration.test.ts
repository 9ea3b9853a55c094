/** What host writes in QEMU's order carry over to another machine, and what they lose. */
import { describe, expect, it } from 'vitest'
import type { machine } from '../support/machine.js'
import { migrate } from '../support/migrate.js'
import {
  advance,
  dumps,
  IDENTIFIED,
  irq,
  KVM_PROFILES,
  ONE_SHOT,
  PERIODIC,
  play,
  post,
  reads,
  run,
  type Step,
  signal,
  startTimer,
  takes,
  UP,
  write,
} from '../support/script.js'

const dumpOf = (test: ReturnType<typeof machine>) => test.do({ op: 'synic.dump', vcpu: 0 }).dump ?? {}

describe.each(KVM_PROFILES)('%s', (profile) => {
  it('registers, pages and what the guest left in them arrive', () => {
    const from = run({ profile }, [
      ...IDENTIFIED,
      ...UP,
      write('SINT5', 0x200f5),
      post(2, 'delivered', irq(), 7, 'aabb'),
      signal(2, 9, irq()),
      ...startTimer(ONE_SHOT, 5000),
      advance(40),
    ])
    const fields = [
      'scontrol',
      'sversion',
      'siefp',
      'simp',
      'sints',
      'vectors',
      'auto_eoi_vectors',
      'stimers',
    ]
    const pick = (dump: Record<string, unknown>) => fields.map((field) => dump[field])
    const to = migrate(from, { profile })
    expect(pick(dumpOf(to))).toEqual(pick(dumpOf(from)))
    expect(dumpOf(to).msg_page).toEqual(dumpOf(from).msg_page)
    expect(dumpOf(to).evt_page).toEqual(dumpOf(from).evt_page)
    play(to, [reads('HYPERCALL', 0x5001)])
  })

  it('a running timer is started once, one that waits for its count is not enabled', () => {
    const steps: readonly Step[] = [
      ...UP,
      ...startTimer(ONE_SHOT, 500),
      write('STIMER1_CONFIG', 0x20008),
      ...startTimer(PERIODIC - 1, 70, {}, 2),
    ]
    const to = migrate(run({ profile }, steps), { profile })
    play(to, [reads('STIMER1_CONFIG', 0x20008), reads('STIMER2_CONFIG', PERIODIC - 1), advance(500, irq())])
  })

  it("acknowledgement links and requested interrupts are the devices' and the APIC's to bring", () => {
    const from = run({ profile }, [...UP, signal(2, 9, irq())])
    play(migrate(from, { profile }), [dumps({ sint_to_gsi: Array(16).fill(-1) }), takes(-1)])
  })
})
