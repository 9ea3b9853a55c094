/** What procedures take is what they look at: none looks at more than may be given, and none at less. */
import { describe, expect, it } from 'vitest'
import type { ParamValues } from '../../src/api/scenario.js'
import type { Kernel } from '../../src/drivers/kernel.js'
import { paramProblem, paramText } from '../../src/scenario/procedure-params.js'
import { procedureList, procedureOf } from '../../src/scenario/procedures.js'
import { drive, pair } from '../support/drivers.js'

/** Names that a procedure looks up while it runs, with nothing but vCPUs given. */
function looked(name: string): string[] {
  const names = new Set<string>()
  const params = new Proxy(
    { vcpus: [0] },
    {
      get: (target, key) => {
        names.add(String(key))
        return Reflect.get(target, key)
      },
    },
  )
  const { test, kernel } = pair({ kind: 'l1vh' })
  const run = procedureOf(name)
  if (run === undefined) throw new Error(name)
  drive(test, run(kernel satisfies Kernel, params))
  return [...names]
}

const list = procedureList()

describe('a procedure', () => {
  it.each(list)('$name looks at no more than it takes', ({ name, takes }) => {
    // Where a kernel begins, vCPUs are the kernel's, which the procedure finds there.
    const seen = looked(name).filter((each) => each !== 'vcpus' || procedureOf(name)?.chooses === 'none')
    expect(seen.filter((each) => !takes.includes(each))).toEqual([])
  })

  it.each(list)('$name takes $takes', ({ name, takes }) => {
    // Who has no host asks for no patience, so that is not looked at here.
    const lazy = ['rounds', 'takes_interrupts', ...(procedureOf(name)?.chooses === 'boot' ? ['vcpus'] : [])]
    const seen = looked(name)
    expect(takes.filter((each) => !seen.includes(each) && !lazy.includes(each))).toEqual([])
  })
})

it('every parameter that a procedure takes says what it is and what it does', () => {
  const taken = new Set(list.flatMap(({ takes }) => takes))
  const texts = [...taken].map((name) => [name, paramText(name)] as const)
  expect(texts.filter(([, { is, means }]) => is.length < 4 || means.length < 15)).toEqual([])
})

describe('what is given', () => {
  it.each([
    ['mshv.up', { version: 'v4', fails_at: 2, vcpus: [0, 1] }, undefined],
    ['linux.boot', { version: null, host: true }, undefined],
    [
      'mshv.up',
      { versoin: 'v4' },
      'versoin',
      'is no parameter of mshv.up; it takes vcpus, version, fails_at',
    ],
    ['mshv.up', { version: 'v9' }, 'version', '"v9" is none of pre-series, v1-patch-4, v1, v2, v3, v4, null'],
    ['mshv.up', { fails_at: 4 }, 'fails_at', '4 is none of 1, 2, 3'],
    ['linux.kexec', { goes_on: 'yes' }, 'goes_on', '"yes" is none of true, false'],
    ['ipxe.quiesce', { form: 'x' }, 'form', '"x" is none of'],
    ['vmbus.init_cpu', { vcpus: [] }, 'vcpus', '[] must be a list of different vCPUs, such as [0, 1]'],
    ['vmbus.init_cpu', { vcpus: [1, 1] }, 'vcpus', '[1,1] must be a list of different vCPUs'],
    ['vmbus.down', { vcpus: [0] }, 'vcpus', 'vmbus.down has no choice of vCPUs'],
    ['vmbus.init_cpu', { polls: 3 }, 'polls', 'is no parameter of vmbus.init_cpu; it takes vcpus'],
    ['stimer.arm', { ticks: 'ten' }, 'ticks', '"ten" must be a number'],
    ['vmm.restore', { registers: 1 }, 'registers', '1 must be a text'],
    ['stimer.arm', { ticks: -1 }, 'ticks', '-1 must be a number: an integer from 0'],
    ['qemu.reset', { order: 1 }, 'order', '1 must be a list of different numbers'],
    ['mshv.down', { notifier: null }, 'notifier', 'is no parameter of mshv.down'],
  ] as const)('%s %j: %s', (name, given, field, message?: string) => {
    const procedure = procedureOf(name)
    if (procedure === undefined) throw new Error(name)
    const found = paramProblem(name, procedure, given as unknown as ParamValues)
    expect(found?.field).toBe(field)
    expect(found?.message ?? '').toContain(message ?? '')
  })
})
