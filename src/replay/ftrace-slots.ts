// Message slots of the simulation: their contents are not in a trace, so what the guest does to them is
// assumed.
import type { WireOp } from '../api/op-decode.js'
import type { SynicDump } from '../synic/dump.js'
import type { FtraceEvent } from './ftrace-line.js'
import type { FtraceMachine, VcpuTrack } from './ftrace-machine.js'

const SLOT_BYTES = 256n
/** Any message type: that the slot is taken is all that matters. */
const TAKEN = '01000000'
const FREE = '00000000'

function typeWrite(state: SynicDump, sint: number, hex: string): WireOp[] {
  if (state.msg_page === null || !state.msg_page.readable) return []
  const gpa = `0x${(BigInt(state.msg_page.gpa) + BigInt(sint) * SLOT_BYTES).toString(16)}`
  return [{ op: 'mem.write', gpa, hex }]
}

export function isSlotTaken(state: SynicDump, sint: number): boolean {
  const slot = state.msg_page?.slots.find((entry) => entry.sint === sint)
  return slot !== undefined && !slot.hex.startsWith(FREE)
}

/** Ops that empty the slots a guest is assumed to have emptied. */
export async function freeSlots(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  sints: readonly number[],
): Promise<WireOp[]> {
  // Only timers put messages into the simulation's slots: the rest of a host is not in the trace.
  if (!track.usesTimers) return []
  const state = await m.state(track.id)
  const taken = sints.filter((sint) => isSlotTaken(state, sint))
  if (taken.length > 0) m.report.lower('a message is assumed freed at the next EOM or EOI for it', event.line)
  return taken.flatMap((sint) => typeWrite(state, sint, FREE))
}

export function freeSlot(state: SynicDump, sint: number): WireOp[] {
  return typeWrite(state, sint, FREE)
}

export function takeSlot(state: SynicDump, sint: number): WireOp[] {
  return typeWrite(state, sint, TAKEN)
}
