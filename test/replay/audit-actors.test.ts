/** Which process is which driver, and what drivers claim: as the command line has it. */
import { describe, expect, it } from 'vitest'
import { actorOf, parseActors, parseClaims } from '../../src/replay/actors.js'
import { commOf } from '../../src/replay/ftrace-line.js'

describe('--actor', () => {
  const map = parseActors(['kworker*=vmbus', 'kworker/u8*=other', 'kworker/0:1=mshv', 'a=b=c'])

  it.each([
    ['kworker/1:0', 'vmbus'],
    ['kworker/u8:3', 'other'],
    ['kworker/0:1', 'mshv'],
    ['a=b', 'c'],
    ['swapper/0', undefined],
  ])('%s runs %s', (comm, actor) => {
    expect(actorOf(map, comm)).toBe(actor)
  })

  it.each([
    ['vmbus', 'must be written process=actor'],
    ['=vmbus', 'must be written process=actor'],
    ['a=b c', 'an actor is a name'],
  ])('refuses %s', (pair, why) => {
    expect(() => parseActors([pair])).toThrow(why)
  })
})

describe('--claims', () => {
  it('adds up what one actor claims', () => {
    expect(parseClaims(['vmbus=SIMP, 0x40000080', 'vmbus=v1.SINT2', 'mshv=SINT0'])).toEqual([
      { actor: 'vmbus', claims: ['SIMP', '0x40000080', 'v1.SINT2'] },
      { actor: 'mshv', claims: ['SINT0'] },
    ])
  })

  it.each([
    ['vmbus', 'must be written actor=REGISTER,REGISTER'],
    ['=SIMP', 'an actor is a name'],
    ['vmbus=', '"": is no register'],
    ['vmbus=SIMP,SPAM', '"SPAM": is no register'],
  ])('refuses %s', (pair, why) => {
    expect(() => parseClaims([pair])).toThrow(why)
  })
})

it.each([
  ['  kworker/0:1-77   [000] ....  12.100000: write_msr: 40000083, value 1', 'kworker/0:1'],
  [' my prog-2 x-613   [000]  1.000000: write_msr: 40000083, value 1', 'my prog-2 x'],
  ['<idle>-0 (-----) [003] d.h1. 1.000000: write_msr: 40000083, value 1', '<idle>'],
  ['CPU 0/KVM  613 [003]  1.000000: kvm:kvm_msr: msr_read 40000083 = 0x0', 'CPU 0/KVM'],
  ['my prog 600/613 [003]  1.000000: kvm:kvm_msr: msr_read 40000083 = 0x0', 'my prog'],
  ['no event', ''],
])('reads the process of %j', (text, comm) => {
  expect(commOf({ text: text.trim() })).toBe(comm)
})
