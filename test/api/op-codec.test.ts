/** Schemas and hand-written codec are one: they accept the same, and what goes in comes out. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OpBatch, readBatch } from '../../src/api/batch.js'
import { Op } from '../../src/api/op.js'
import { decodeOp } from '../../src/api/op-decode.js'
import { encodeOp } from '../../src/api/op-encode.js'
import { OpInputError } from '../../src/api/op-fields.js'
import { OP_ROUTES } from '../../src/api/op-routes.js'
import { InputError } from '../../src/api/problem.js'
import { Result } from '../../src/api/result.js'
import { NameTable } from '../../src/synic/names.js'
import { OpWriter } from '../../src/synic/op.js'
import { machine } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'
import { anyGoodOp, goodOps, mutation, OP_NAMES_ON_WIRE, oddValue } from '../support/wire-arbitraries.js'

const RUNS = 300

/** Does the encoder take it? Any other exception than its own fails the test. */
function encodes(value: unknown): boolean {
  const writer = new OpWriter()
  try {
    encodeOp(value, writer, new NameTable(4096), 0)
    return true
  } catch (error) {
    if (!(error instanceof OpInputError)) throw error
    expect(writer.length).toBe(0)
    return false
  }
}

function wordsOf(value: unknown, names: NameTable): Int32Array {
  const writer = new OpWriter()
  encodeOp(value, writer, names, 0)
  return writer.words.slice(0, writer.length)
}

/** As it would come out of JSON.parse. */
const overWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value) ?? 'null')

describe('schema and encoder', () => {
  it.each(OP_NAMES_ON_WIRE)('both take every good %s', (name) => {
    holds(
      fc.property(goodOps.get(name) ?? fc.constant({}), (op) => {
        expect(Op.safeParse(op).error?.issues ?? []).toEqual([])
        expect(encodes(op)).toBe(true)
      }),
    )
  })

  it.each(OP_NAMES_ON_WIRE)('agree about every bent %s', (name) => {
    holds(
      fc.property(goodOps.get(name) ?? fc.constant({}), mutation, mutation, (op, first, second) => {
        const once = overWire(first(op))
        expect([once, encodes(once)]).toEqual([once, Op.safeParse(once).success])
        if (typeof once !== 'object' || once === null || Array.isArray(once)) return
        const twice = overWire(second(once as Record<string, unknown>))
        expect([twice, encodes(twice)]).toEqual([twice, Op.safeParse(twice).success])
      }),
      RUNS,
    )
  })

  it('agree about anything', () => {
    holds(
      fc.property(fc.oneof(fc.jsonValue(), oddValue), (value) => {
        expect(encodes(value)).toBe(Op.safeParse(value).success)
      }),
      RUNS,
    )
  })
})

describe('encoder and decoder', () => {
  it.each(OP_NAMES_ON_WIRE)('turn %s into words, back into JSON, and into the same words', (name) => {
    holds(
      fc.property(goodOps.get(name) ?? fc.constant({}), (op) => {
        const names = new NameTable(4096)
        const words = wordsOf(op, names)
        const decoded = overWire(decodeOp(words, 0, names))
        expect(Op.safeParse(decoded).success).toBe(true)
        expect(wordsOf(decoded, names)).toEqual(words)
      }),
    )
  })
})

describe('results', () => {
  it('are JSON and fit their schema', () => {
    holds(
      fc.property(randomSetup, randomOps(60), (setup, ops) => {
        const test = machine(setup)
        for (const op of ops) {
          const result = test.do(op)
          expect(Result.strict().safeParse(result).error?.issues ?? []).toEqual([])
          expect(result.ok).toBe(result.fault === undefined && result.errno === undefined)
        }
      }),
      RUNS,
    )
  })
})

describe('a batch', () => {
  const bent = fc
    .record(
      {
        ops: fc.array(anyGoodOp, { maxLength: 3 }),
        stop_on_fault: fc.boolean(),
        actor: fc.constant('vmbus'),
      },
      { requiredKeys: ['ops'] },
    )
    .chain((batch) =>
      fc.oneof(
        fc.constant<unknown>(batch),
        mutation.map((bend) => bend(batch)),
      ),
    )

  it('is taken by schema and hand check alike', () => {
    holds(
      fc.property(bent, (value) => {
        const body = overWire(value)
        let taken = true
        try {
          taken = readBatch(body).ops.every(encodes)
        } catch (error) {
          if (!(error instanceof InputError)) throw error
          taken = false
        }
        expect([body, taken]).toEqual([body, OpBatch.safeParse(body).success])
      }),
      10 * RUNS,
    )
  })
})

describe('bodies of routes that are one op', () => {
  it.each(OP_ROUTES)('$name: schema and hand check agree', ({ name, route, path }) => {
    const body = (goodOps.get(name) ?? fc.constant<Record<string, unknown>>({})).map((op) => {
      const own = Object.entries(op).filter(([field]) => field !== 'op' && !(field in path))
      return Object.fromEntries(own)
    })
    const bent = fc.oneof(
      body,
      fc.tuple(body, mutation).map(([fields, bend]) => bend(fields)),
      fc.constant(undefined),
    )
    holds(
      fc.property(bent, (value) => {
        const sent = value === undefined ? undefined : overWire(value)
        let taken = true
        try {
          taken = encodes(route.opOf(path, sent))
        } catch (error) {
          if (!(error instanceof InputError)) throw error
          taken = false
        }
        expect([sent, taken]).toEqual([sent, route.body.safeParse(sent).success])
      }),
      3 * RUNS,
    )
  })
})
