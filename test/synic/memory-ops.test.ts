/** Guest memory, atomic steps, and the slots that guests free in it. */

import { describe, expect, it } from 'vitest'
import { EFFECT_FREED, EFFECT_WORDS } from '../../src/synic/effects.js'
import type { MachineSetup } from '../support/machine.js'
import {
  acks,
  advance,
  completes,
  EVERY_PROFILE,
  type Expected,
  fails,
  GP,
  hostWrite,
  irq,
  KVM_PROFILES,
  NO_ACKS,
  ONE_SHOT,
  op,
  post,
  route,
  run,
  SIEFP_GPA,
  SIMP_GPA,
  scenarios,
  sees,
  setSlot,
  signal,
  slotHas,
  startTimer,
  status,
  stores,
  UP,
  write,
} from '../support/script.js'

const SMALL = (profile: MachineSetup['profile']): MachineSetup => ({ profile, gpaPages: 16 })
const TINY: MachineSetup = { profile: 'kvm-synic', memoryPagesMax: 2 }
const cas = (len: number, expect: string | number, value: string | number, expected: Expected) =>
  op({ op: 'mem.cas', gpa: 0x8000, len, expect, value }, expected)
const xchg = (len: number, value: string | number, expected: Expected) =>
  op({ op: 'mem.xchg', gpa: 0x8000, len, value }, expected)
const old = (value: string): Expected => ({ value })

describe('memory', () =>
  scenarios([
    [
      'crosses pages',
      EVERY_PROFILE,
      [stores(0x8ffe, '01020304'), sees(0x8ffe, '01020304'), sees(0x9000, '0304')],
    ],
    ['starts as zero', EVERY_PROFILE, [sees(0xffff_0000, '0000')]],
    [
      'ends at the limit, whole or not at all',
      SMALL('kvm-synic'),
      [
        stores(0xfffe, 'aabb'),
        stores(0xffff, 'ccdd', fails(-14)),
        sees(0xfffe, 'aabb'),
        op({ op: 'mem.read', gpa: 0xffff, len: 2 }, fails(-14)),
        op({ op: 'mem.read', gpa: 0x10000, len: 0 }, fails(-14)),
      ],
    ],
    [
      'without pages_gpa_check it has no end',
      { ...SMALL('kvm-synic'), options: { pages_gpa_check: false } },
      [stores('0xfffffffff000', 'aa'), sees('0xfffffffff000', 'aa'), write('SIMP', '0xfffffffff001')],
    ],
    [
      'has as many pages as the partition may touch',
      TINY,
      [
        stores(0x1000, 'aa'),
        stores(0x2ffe, 'aabbccdd', fails(-12)),
        stores(0x2000, 'aa'),
        stores(0x1000, 'bb'),
        stores(0x3000, 'cc', fails(-12)),
        op({ op: 'mem.xchg', gpa: 0x3000, len: 4, value: 7 }, fails(-12)),
      ],
    ],
  ]))

/** The one page that the partition may touch is in use. */
const spent = (profile: MachineSetup['profile'], kind: MachineSetup['kind'] = 'guest'): MachineSetup => ({
  profile,
  kind,
  memoryPagesMax: 1,
})
const SPEND = stores(0x9000, 'aa')

describe('beyond the pages that a partition may touch', () =>
  scenarios([
    [
      'a message and an event find no memory on KVM',
      spent('kvm-synic'),
      [
        SPEND,
        ...UP,
        slotHas(2, 0),
        post(2, 'dropped', fails(-14)),
        signal(2, 1, fails(-14)),
        completes(2, fails(-14)),
      ],
    ],
    [
      'OpenVMM refuses the page, to the host too',
      spent('openvmm'),
      [SPEND, write('SIMP', 0x1001, GP), hostWrite('SIEFP', 0x1001, fails(-22)), write('SIMP', 0x9001)],
    ],
    ['overlays of others hold their own', spent('tlfs'), [SPEND, ...UP, post(2, 'delivered', irq())]],
    [
      'a guest still empties a slot in its overlay, by a store or an exchange',
      spent('tlfs'),
      [
        SPEND,
        ...UP,
        ...[setSlot(2, 0), op({ op: 'mem.xchg', gpa: 0x1200, len: 4, value: 0 }, { value: '0x1' })].flatMap(
          (empties) => [post(2, 'delivered', irq()), empties, slotHas(2, 0)],
        ),
        stores(0xfff, '0000', fails(-12)),
      ],
    ],
    [
      "nothing reaches QEMU's SIMP without an overlay, at GPA 0",
      spent('qemu'),
      [
        SPEND,
        write('SCONTROL', 1),
        write('SIMP', 1),
        write('SINT2', 0xf3),
        completes(2, fails(-14)),
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        sees(0x200, '00000000'),
      ],
    ],
    [
      'hypercall and assist pages are refused',
      spent('tlfs'),
      [
        SPEND,
        write('GUEST_OS_ID', 1),
        write('HYPERCALL', 0x5001, GP),
        write('VP_ASSIST_PAGE', 0x5001, GP),
        write('REFERENCE_TSC', 0x5001),
      ],
    ],
    [
      'a doorbell finds no ring',
      spent('tlfs', 'l1vh'),
      [
        SPEND,
        write('SIRBP', 0x3001),
        op({ op: 'port.create', port: 9, type: 'doorbell', sint: 5 }, status(0)),
        op({ op: 'connection.create', connection: 7, port: 9, gpa: 0x9000 }, status(0)),
        stores(0x9000, 'bb', { doorbells: undefined }),
      ],
    ],
  ]))

describe('mem.cas and mem.xchg', () =>
  scenarios([
    [
      'compare, and store on equality',
      EVERY_PROFILE,
      [
        stores(0x8000, '0102030405060708'),
        cas(4, 0x04030202, 9, old('0x4030201')),
        sees(0x8000, '0102030405060708'),
        cas(4, 0x04030201, 9, old('0x4030201')),
        sees(0x8000, '0900000005060708'),
        cas(1, 9, 10, old('0x9')),
        cas(8, '0x80706050000000a', '0xffffffffffffffff', old('0x80706050000000a')),
        cas(8, '0xfffffffeffffffff', 0, old('0xffffffffffffffff')),
        sees(0x8000, 'ffffffffffffffff'),
      ],
    ],
    [
      'exchange',
      EVERY_PROFILE,
      [
        xchg(8, '0x1122334455667788', old('0x0')),
        xchg(4, 7, old('0x55667788')),
        xchg(1, 0, old('0x7')),
        sees(0x8000, '0000000044332211'),
      ],
    ],
    ['need memory', SMALL('tlfs'), [op({ op: 'mem.xchg', gpa: 0xfffe, len: 4, value: 0 }, fails(-14))]],
    [
      'reach overlays',
      ['qemu', 'tlfs', 'openvmm'],
      [
        ...UP,
        post(2, 'delivered', irq()),
        op({ op: 'mem.cas', gpa: SIMP_GPA + 512, len: 4, expect: 1, value: 0 }, old('0x1')),
        slotHas(2, 0),
        write('SIMP', SIMP_GPA),
      ],
    ],
  ]))

describe('message.complete', () =>
  scenarios([
    [
      'answers the type it freed, 0 if there was none',
      EVERY_PROFILE,
      [
        ...UP,
        post(2, 'delivered', irq(), 0x8000_0061),
        completes(2, { value: '0x80000061' }),
        completes(2, { value: '0x0' }),
      ],
    ],
    [
      'writes EOM if the flag was set',
      KVM_PROFILES,
      [
        ...UP,
        route([[40, 0, 2]]),
        setSlot(2, 5),
        completes(2, NO_ACKS),
        setSlot(2, 5),
        stores(SIMP_GPA + 512 + 5, '01'),
        completes(2, acks(40)),
      ],
    ],
    [
      'needs an enabled page and a SINT',
      EVERY_PROFILE,
      [completes(2, fails(-2)), ...UP, completes(16, fails(-22))],
    ],
    [
      'does not find a page without memory',
      SMALL('tlfs'),
      [write('SIMP', 0x10001), completes(2, fails(-14))],
    ],
  ]))

it('says which slots a guest freed, by any store', () => {
  const test = run({ profile: 'tlfs' }, [...UP, setSlot(2, 1), setSlot(3, 2), setSlot(15, 3)])
  const freed = () => {
    const { effects } = test.partition
    const kinds: number[] = []
    for (let at = 0; at < effects.length; at += EFFECT_WORDS[effects.words[at]]) kinds.push(effects.words[at])
    return kinds.filter((kind) => kind === EFFECT_FREED).length
  }
  test.do({ op: 'mem.write', gpa: 0x0ff0, hex: '00'.repeat(0x10 + 512 + 256 + 4) })
  expect(freed()).toBe(2)
  test.do({ op: 'mem.write', gpa: SIMP_GPA + 15 * 256, hex: '0300000000' })
  expect(freed()).toBe(0)
  test.do({ op: 'mem.write', gpa: SIEFP_GPA, hex: '00' })
  expect(freed()).toBe(0)
})
