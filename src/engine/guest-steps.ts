/** What a guest does in one atomic step, spelled as ordinary ops of the log. */
import { flagByte } from '../hv/event-flags.js'
import { readMemory } from './inspect.js'
import { eventPageGpa } from './inspect-vcpu.js'
import type { PartitionHost } from './partition-host.js'

export interface FlagPlace {
  readonly vcpu: number
  readonly sint: number
  readonly flag: number
  readonly nested: boolean
}

/**
 * Clears one event flag as a guest does, by compare-and-swap of its byte: no signal can come between the look
 * and the store. Result `value` is the byte as it was.
 * @throws EngineError page-disabled, gpa-out-of-range
 */
export function clearFlag(host: PartitionHost, place: FlagPlace, actor: string | undefined): string {
  const gpa = eventPageGpa(host, place.vcpu, place.nested) + BigInt(flagByte(place.sint, place.flag))
  const [byte] = readMemory(host, gpa, 1)
  const op = {
    op: 'mem.cas',
    gpa: `0x${gpa.toString(16)}`,
    len: 1,
    expect: byte,
    value: byte & ~(1 << (place.flag & 7)),
  }
  return host.applyOne(op, actor)
}
