/** Who uses a SynIC that another switches on comes after it and leaves before it. */
import { expect, it } from 'vitest'
import { rugPull } from '../../src/audit/rules/rug-pull.js'
import { wrongOrder } from '../../src/audit/rules/wrong-order.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const DOWN = 'v0 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0'
const CLAIM = 'attach SCONTROL by vmbus'

it.each([
  ['in order', 'l1vh', [UP, 'v0 mshv SINT0=0xf3', 'v0 mshv SINT0=0x100f3', DOWN], []],
  ['too early', 'l1vh', [CLAIM, 'v0 mshv SINT0=0xf3'], ['wrong_order mshv 40000090']],
  ['an event ring too early', 'l1vh', [CLAIM, 'v0 mshv SIRBP=0x12001'], ['wrong_order mshv 40000085']],
  ['after the owner has gone down', 'l1vh', [UP, DOWN, 'v0 mshv SINT5=0xf3'], ['wrong_order mshv 40000095']],
  ['the owner goes first', 'l1vh', [UP, 'v0 mshv SINT0=0xf3', DOWN], ['wrong_order vmbus 40000080']],
  [
    'before the owner was ever seen, told when it comes',
    'l1vh',
    ['v0 mshv SIRBP=0x12001 SINT0=0xf3 SINT5=0xf3', UP],
    ['wrong_order mshv 40000085'],
  ],
  [
    'the same, once',
    'l1vh',
    ['v0 mshv SINT0=0xf3', UP, 'v0 vmbus SINT2=0xf3'],
    ['wrong_order mshv 40000090'],
  ],
  ['it has given that up before the owner comes', 'l1vh', ['v0 mshv SINT0=0xf3 SINT0=0x100f3', UP], []],
  [
    'it has left before the owner comes',
    'l1vh',
    ['attach SINT0 by mshv', 'v0 mshv SINT0=0xf3', 'detach by mshv', UP],
    [],
  ],
  ['another kernel did it', 'l1vh', ['v0 mshv SINT0=0xf3', 'boot next kexec', UP], []],
  ['the machine was reset since', 'l1vh', ['v0 mshv SINT0=0xf3', 'reset', UP], []],
  ['another than the owner switches on', 'l1vh', ['v0 mshv SINT0=0xf3 SCONTROL=1'], []],
  ['on another vCPU', 'l1vh', ['create v1', 'v1 mshv SINT0=0xf3', UP], []],
  ['two SynICs again', 'nested_root', ['v0 mshv SINT0=0xf3', 'v0 vmbus NESTED_SCONTROL=1'], []],
  [
    'an owner that comes back',
    'l1vh',
    [UP, DOWN, 'detach by vmbus', 'v0 mshv SINT0=0xf3', UP],
    ['wrong_order mshv 40000090'],
  ],
  ['the owner was never there', 'l1vh', ['v0 mshv SINT0=0xf3'], []],
  ['the owner has left', 'l1vh', [CLAIM, 'detach by vmbus', 'v0 mshv SINT0=0xf3'], []],
  ['the owner itself comes up', 'l1vh', [UP], []],
  ['a register that is nobody’s', 'l1vh', [CLAIM, 'v0 mshv SINT7=0xf3'], []],
  [
    'two SynICs do not wait for each other',
    'nested_root',
    [CLAIM.replace('SC', 'NESTED_SC'), 'v0 mshv SINT0=0xf3'],
    [],
  ],
  [
    'by claims, with other names; a guest only misses interrupts',
    'guest',
    ['attach SCONTROL SIMP by bus', 'attach SINT4 by clock', 'v0 clock SINT4=0xf4'],
    ['wrong_order? clock 40000094'],
  ],
  ['who is not the owner and clears it is another rule', 'l1vh', [UP, 'v0 mshv SCONTROL=0'], []],
] as const)('%s', (_why, kind, lines, expected) => {
  const m = audited({ profile: 'tlfs', kind }, wrongOrder).run(...lines)
  expect(m.said()).toEqual(expected)
})

it('names both sides of an order that shows only later', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh' }, wrongOrder).run('v0 mshv SINT0=0xf3', UP)
  const { seq } = m.partition
  const text = 'mshv has set up SINT0 before vmbus enables the SynIC'
  const expected = { severity: 'error', seq, actor: 'mshv', other: 'vmbus', otherSeq: seq - 4, text }
  expect(m.violations).toMatchObject([expected])
})

it('tells SCONTROL once, whoever clears it', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh' }, rugPull, wrongOrder)
  m.run(UP, 'v0 mshv SINT0=0xf3', 'v0 vmbus SCONTROL=0 SCONTROL=1', 'v0 mshv SCONTROL=0')
  expect(m.said()).toEqual(['wrong_order vmbus 40000080', 'rug_pull mshv 40000080'])
})
