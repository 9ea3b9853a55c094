/** MSHV's doorbells: ports that a child's stores ring, and the event ring they arrive in (mshv_synic.c). */
import { EINVAL, ENOENT } from '../hv/errno.js'
import { HV_SUCCESS, HV_VP_ANY, HVCALL_NOTIFY_PORT_RING_EMPTY, PORT_DOORBELL } from '../hv/hypercalls.js'
import { CONNECTION_ID_MAX } from '../hv/limits.js'
import { SINT_DOORBELL } from '../hv/registers.js'
import { type Effects, HAS_STATUS } from '../synic/effects.js'
import * as o from '../synic/op.js'
import type { Kernel } from './kernel.js'
import { type Gpa, gpaOf, loadByte, loadU32, memWrite, u32s } from './memory.js'
import { MSHV } from './mshv.js'
import { fastHypercall, halves, type Place, type Step, type Strand } from './step.js'

/** struct hv_synic_event_ring: signal_masked, ring_full, two bytes, then the port ids. */
const RING_BYTES = 256
const SIGNAL_MASKED = 0
const RING_FULL = 1
const ENTRIES_AT = 4
export const RING_ENTRIES = 63

/** A store that rings: where, what, how wide (HV_DOORBELL_FLAG_*). */
export interface DoorbellTrigger {
  readonly gpa: Gpa
  readonly value: number
  readonly flags: number
}

/** mshv_register_doorbell: the port's id, which is the connection's too, or a negative errno. */
export function* registerDoorbell(kernel: Kernel, vcpu: number, trigger: DoorbellTrigger): Strand<number> {
  const at: Place = { actor: MSHV, vcpu }
  const { doorbells } = kernel.mshv
  // 0 is an empty entry of the ring.
  let id = 1
  while (doorbells.has(id)) id++
  if (id > CONNECTION_ID_MAX) return EINVAL
  const port = [id, PORT_DOORBELL, HV_VP_ANY | 0, SINT_DOORBELL, 0, 0]
  if (!succeeded(yield portStep(at, o.OP_PORT_CREATE, port))) return EINVAL
  doorbells.set(id, 0)
  const connection = [id, id, ...halves(trigger.gpa), ...halves(trigger.value), trigger.flags]
  if (succeeded(yield portStep(at, o.OP_CONNECTION_CREATE, connection))) return id
  yield portStep(at, o.OP_PORT_DELETE, [id])
  doorbells.delete(id)
  return EINVAL
}

/** mshv_unregister_doorbell. */
export function* unregisterDoorbell(kernel: Kernel, vcpu: number, id: number): Strand<number> {
  if (!kernel.mshv.doorbells.has(id)) return ENOENT
  const at: Place = { actor: MSHV, vcpu }
  yield portStep(at, o.OP_CONNECTION_DELETE, [id])
  yield portStep(at, o.OP_PORT_DELETE, [id])
  kernel.mshv.doorbells.delete(id)
  return 0
}

function portStep({ actor, vcpu }: Place, code: number, args: readonly number[]): Step {
  return { actor, vcpu, code, args }
}

function succeeded(effects: Effects): boolean {
  return effects.ok && ((effects.has & HAS_STATUS) === 0 || effects.status === HV_SUCCESS)
}

/** Every port in SINT5's ring is answered, until the ring stays empty (mshv_doorbell_isr). */
export function* drainDoorbells(kernel: Kernel, vcpu: number): Strand {
  const { doorbells } = kernel.mshv
  for (;;) {
    const port = yield* nextPort(kernel, vcpu)
    if (port === 0) return
    const answered = doorbells.get(port)
    if (answered !== undefined) doorbells.set(port, answered + 1)
  }
}

/** synic_event_ring_get_queued_port: the next port id, or 0. */
function* nextPort(kernel: Kernel, vcpu: number): Strand<number> {
  const at: Place = { actor: MSHV, vcpu }
  const { pages, tails } = kernel.mshv
  const page = pages.get(vcpu)
  if (page === undefined) return 0
  const ring = gpaOf(page.ring, SINT_DOORBELL * RING_BYTES)
  const tail = tails.get(vcpu) ?? 0
  const entry = ring + ENTRIES_AT + 4 * tail
  let port = yield* loadU32(at, entry)
  if (port === 0) {
    port = yield* lookAgain(at, ring, entry)
    if (port === 0) return 0
    yield memWrite(at, ring + SIGNAL_MASKED, Uint8Array.of(1))
  }
  yield memWrite(at, entry, u32s(0))
  tails.set(vcpu, (tail + 1) % RING_ENTRIES)
  return port
}

/** The ring looks empty: what waits behind a full one is asked for, then signals are let in. */
function* lookAgain(at: Place, ring: Gpa, entry: Gpa): Strand<number> {
  if ((yield* loadByte(at, ring + RING_FULL)) !== 0) {
    yield memWrite(at, ring + RING_FULL, Uint8Array.of(0))
    yield fastHypercall(at, HVCALL_NOTIFY_PORT_RING_EMPTY, SINT_DOORBELL)
    const port = yield* loadU32(at, entry)
    if (port !== 0) return port
  }
  // Unmask first, then look once more: whatever comes behind that look brings a message of its own.
  yield memWrite(at, ring + SIGNAL_MASKED, Uint8Array.of(0))
  return yield* loadU32(at, entry)
}
