/** A saved machine is the machine, and so is a fork: every conformance script goes on unchanged. */
import { describe, expect, it } from 'vitest'
import { forkPartition } from '../../src/synic/fork.js'
import { savePartition } from '../../src/synic/save-state.js'
import { allCases } from '../conformance/rows/all.js'
import { machine, TestMachine } from '../support/machine.js'
import { restored } from '../support/migrate.js'
import {
  completes,
  empties,
  hostWrite,
  irq,
  pause,
  play,
  post,
  resume,
  run,
  slotHas,
  UP,
} from '../support/script.js'

/** A script of thousands of steps is saved this often and no more. */
const SAVES_MAX = 40
const document = (test: TestMachine) => JSON.stringify(savePartition(test.partition))

describe('save and restore between any two steps', () => {
  it.each(allCases)('$name', ({ setup, steps }) => {
    let test = machine(setup)
    const every = Math.ceil(steps.length / SAVES_MAX)
    steps.forEach((step, i) => {
      play(test, [step])
      if (i % every !== 0) return
      const saved = document(test)
      test = restored(test)
      expect(document(test)).toBe(saved)
    })
  })
})

describe('a fork goes its own way', () => {
  it.each(allCases)('$name', ({ setup, steps }) => {
    const original = machine(setup)
    const half = Math.floor(steps.length / 2)
    play(original, steps.slice(0, half))
    const saved = document(original)
    const fork = new TestMachine(forkPartition(original.partition))
    play(fork, steps.slice(half))
    expect(document(original)).toBe(saved)
    play(original, steps.slice(half))
    expect(document(original)).toBe(document(fork))
  })
})

/** QEMU: a completion is scheduled, and no vCPU runs that could see to it. */
const scheduled = () =>
  run({ profile: 'qemu' }, [
    ...UP,
    post(2, 'delivered', irq()),
    post(2, 'queued', {}, 5),
    empties(2),
    pause,
    hostWrite('EOM', 0),
  ])
const AFTERWARDS = [slotHas(2, 0), resume(irq()), slotHas(2, 5), completes(2), post(2, 'delivered', irq())]

describe('a completion that is scheduled', () => {
  it('survives save and restore', () => {
    play(restored(scheduled()), AFTERWARDS)
  })

  it('is had by a fork and its original', () => {
    const original = scheduled()
    play(new TestMachine(forkPartition(original.partition)), AFTERWARDS)
    play(original, AFTERWARDS)
  })
})
