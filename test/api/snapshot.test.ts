/** The snapshot schema: takes what the service saves, and lets nothing through that would break a machine. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Snapshot } from '../../src/api/snapshot.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import type { SavedState } from '../../src/synic/saved-state.js'
import { type MachineSetup, machine, TestMachine, type WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

type Json = Record<string, unknown>

/** The document of a machine after some ops, as it comes back from the wire. */
function documentAfter(setup: MachineSetup, ops: readonly WireInput[]): SavedState {
  const test = machine(setup)
  for (const op of ops) test.do(op)
  return JSON.parse(JSON.stringify(savePartition(test.partition)))
}

/** Every place in a document: the container and the key in it. */
function places(node: unknown, found: { holder: Json; key: string }[] = []): { holder: Json; key: string }[] {
  if (typeof node !== 'object' || node === null) return found
  for (const key of Object.keys(node)) {
    found.push({ holder: node as Json, key })
    places((node as Json)[key], found)
  }
  return found
}

const strangers = fc.constantFrom<unknown>(
  null,
  true,
  -1,
  0,
  1,
  2,
  15,
  16,
  255,
  4096,
  2 ** 31,
  2 ** 53,
  1.5,
  '',
  '0x0',
  '0x1',
  '0x1001',
  '0x11001',
  '0x30001',
  '0xffffffffffffffff',
  'ff'.repeat(240),
  [],
  {},
)
type Mutation = readonly [place: number, kind: number, other: number, stranger: unknown]
const mutation = fc.tuple(fc.nat(), fc.nat(5), fc.nat(), strangers)

function mutate(document: SavedState, [place, kind, other, stranger]: Mutation): void {
  const all = places(document)
  const { holder, key } = all[place % all.length]
  const value = holder[key]
  if (kind === 0) holder[key] = structuredClone(all[other % all.length].holder[all[other % all.length].key])
  else if (kind === 1) delete holder[key]
  else if (kind === 2 && Array.isArray(value) && value.length > 0) value.push(structuredClone(value[0]))
  else if (kind === 3 && typeof value === 'number') holder[key] = value ^ (1 << (other % 31))
  else if (kind === 4 && Array.isArray(value)) value.reverse()
  else holder[key] = structuredClone(stranger)
}

/** Restores and drives a machine: what must not throw. */
function exercise(state: SavedState, ops: readonly WireInput[]): void {
  const test = new TestMachine(restorePartition(state))
  for (const op of ops) test.do(op)
  test.do({ op: 'partition.resume' })
  test.do({ op: 'clock.advance', ticks: 1000 })
  for (const { id } of state.vcpus) test.do({ op: 'synic.dump', vcpu: id })
  JSON.stringify(savePartition(test.partition))
}

describe('the snapshot schema', () => {
  it("wants the memory that lies under OpenVMM's overlays", () => {
    const document = documentAfter({ profile: 'openvmm' }, [
      { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: 0x1001 },
    ])
    expect(document.memory).toEqual([{ gpa: '0x1000', hex: '' }])
    const without = Snapshot.safeParse({ ...document, memory: [] })
    expect(without.error?.issues).toMatchObject([{ path: ['mapped_pages', '0', 'gpa'] }])
  })

  it('accepts every state that ops lead to, and changes nothing in it', () => {
    holds(
      fc.property(randomSetup, randomOps(80), (setup, ops) => {
        const document = documentAfter(setup, ops)
        expect(Snapshot.parse(document)).toEqual(document)
      }),
      200,
    )
  })

  it('lets nothing through that cannot be restored and driven', () => {
    holds(
      fc.property(
        randomSetup,
        randomOps(40),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        randomOps(20),
        (setup, ops, mutations, more) => {
          const document = documentAfter(setup, ops)
          for (const each of mutations) mutate(document, each)
          const parsed = Snapshot.safeParse(document)
          if (parsed.success) exercise(parsed.data as SavedState, more)
        },
      ),
      400,
    )
  })
})
