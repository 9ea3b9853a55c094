/** Values for op fields: good ones, nearly good ones, and plain wrong ones. */
import fc from 'fast-check'
import { OP_FIELDS } from '../../src/api/op.js'
import type { OpName } from '../../src/synic/op.js'

const u32 = fc.constantFrom(0, 1, 2, 3, 15, 16, 255, 4096, 0xffff_ffff)
const u64 = fc.oneof(
  fc.constantFrom<unknown>(0, 1, 0x1001, 2 ** 53 - 1, '0x0', '0X1f', '0x00ff', '0xFFFFFFFFFFFFFFFF'),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => `0x${value.toString(16)}`),
)
const name = fc.constantFrom('vmbus', 'mshv', 'a', 'A0_.:-', 'x'.repeat(64))
const hex = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const msr = fc.constantFrom<unknown>(
  'SIMP',
  'simp',
  'SINT15',
  'NESTED_SINT3',
  '0x40000083',
  0x4000_0084,
  '0x0',
)

/** A value for each field name that its op takes. Where ops disagree, `OWN` has the exception. */
const GOOD: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  vcpu: u32,
  sint: u32,
  gsi: u32,
  conn: u32,
  port: u32,
  connection: u32,
  flag: fc.constantFrom(0, 1, 2047, 2048, 65_535),
  flag_base: fc.constantFrom(0, 2047, 65_535),
  flag_count: fc.constantFrom(0, 1, 65_535),
  cap: fc.constantFrom('synic', 'synic2'),
  msr,
  value: u64,
  gpa: u64,
  expect: u64,
  control: u64,
  input: u64,
  output: u64,
  sender: u64,
  len: fc.constantFrom(1, 4, 8),
  hex,
  type: fc.constantFrom<unknown>(0, 1, 0x8000_0010, 0xffff_ffff, '0x1', '0x80000010'),
  nested: fc.boolean(),
  resample: fc.boolean(),
  sticky: fc.boolean(),
  on: fc.boolean(),
  ticks: fc.constantFrom(0, 1, 10_000, 2 ** 53 - 1),
  entries: fc.array(fc.record({ gsi: u32, vcpu: u32, sint: u32 }), { maxLength: 4 }),
  claims: fc.array(fc.constantFrom('SIMP', 'v1.SINT2', '0x40000083', 'v4095.0x40000083'), { maxLength: 4 }),
  kernel: name,
  cause: fc.constantFrom('kexec', 'crash', 'reset'),
  part: fc.constantFrom('pending', 'slot', 'irq'),
  by: fc.constantFrom('guest', 'host'),
  actor: name,
}
const OWN: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  'apic.tpr/value': fc.constantFrom(0, 1, 255),
  'port.create/type': fc.constantFrom('message', 'event', 'doorbell'),
  'mem.read/len': fc.constantFrom(0, 1, 4096, 65_536),
}

const NEEDS_ACTOR = ['page.claim', 'actor.attach', 'actor.detach']

function goodOp(op: OpName): fc.Arbitrary<Record<string, unknown>> {
  const own = Object.entries(OP_FIELDS[op])
  const arbitraries = own.map(([field]) => [field, OWN[`${op}/${field}`] ?? GOOD[field]] as const)
  const model: Record<string, fc.Arbitrary<unknown>> = {
    ...Object.fromEntries(arbitraries),
    by: GOOD.by,
    actor: GOOD.actor,
  }
  const optional = own.filter(([, schema]) => schema.safeParse(undefined).success).map(([field]) => field)
  const left = ['by', ...(NEEDS_ACTOR.includes(op) ? [] : ['actor']), ...optional]
  const requiredKeys = Object.keys(model).filter((field) => !left.includes(field))
  return fc.record(model, { requiredKeys }).map((fields) => ({ op, ...fields }))
}

export const OP_NAMES_ON_WIRE = Object.keys(OP_FIELDS) as OpName[]
/** A valid op of each kind. */
export const goodOps = new Map(OP_NAMES_ON_WIRE.map((op) => [op, goodOp(op)]))
export const anyGoodOp = fc
  .constantFrom(...OP_NAMES_ON_WIRE)
  .chain((op) => goodOps.get(op) ?? fc.constant({}))

/** Values that are wrong nearly everywhere, and some that only look so. */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    '',
    ' ',
    '0x',
    '0x1g',
    '0x1_0',
    '-0x1',
    '0x10000000000000000',
    `0x${'0'.repeat(64)}`,
    `0x${'0'.repeat(65)}`,
    `0x${'0'.repeat(50)}1f`,
    'SIMP ',
    'v1.SIMP',
    'v12345.SIMP',
    'nope',
    '1',
    'a\n',
    'abc',
    'ABCD',
    'x'.repeat(65),
    -1,
    -0,
    0.5,
    1e21,
    2 ** 53,
    2 ** 32,
    2 ** 31,
    65_536,
    65_537,
    256,
    [],
    {},
    [null],
    [{}],
    [{ gsi: 1, vcpu: 0 }],
    [{ gsi: 1, vcpu: 0, sint: 2, more: 1 }],
    [{ gsi: '1', vcpu: 0, sint: 2 }],
    [{ gsi: 1, vcpu: 0, sint: null }],
    ['SIMP', 1],
    ['nope'],
  ),
  fc.jsonValue({ maxDepth: 2 }),
)

type Mutation = (op: Record<string, unknown>) => unknown
const field = fc.oneof(
  fc.constantFrom(
    'op',
    'by',
    'actor',
    'vcpu',
    'value',
    'more',
    'toString',
    '__proto__',
    ...Object.keys(GOOD),
  ),
  fc.string({ maxLength: 5 }),
)

function define(op: Record<string, unknown>, key: string, value: unknown): Record<string, unknown> {
  // As JSON.parse does, also for `__proto__`.
  return Object.defineProperty({ ...op }, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}

/** Takes a field away, sets one to something odd, or replaces the whole. */
export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.nat().map(
      (n): Mutation =>
        (op) =>
          without(op, n),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat(), oddValue).map(
      ([n, odd]): Mutation =>
        (op) =>
          replaced(op, n, odd),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(field, oddValue).map(
      ([key, odd]): Mutation =>
        (op) =>
          define(op, key, odd),
    ),
  },
  {
    weight: 1,
    arbitrary: oddValue.map(
      (odd): Mutation =>
        () =>
          odd,
    ),
  },
)

function without(op: Record<string, unknown>, n: number): Record<string, unknown> {
  const keys = Object.keys(op)
  const gone = keys[n % Math.max(1, keys.length)]
  return Object.fromEntries(Object.entries(op).filter(([key]) => key !== gone))
}

function replaced(op: Record<string, unknown>, n: number, odd: unknown): Record<string, unknown> {
  const keys = Object.keys(op)
  return keys.length === 0 ? op : define(op, keys[n % keys.length], odd)
}
