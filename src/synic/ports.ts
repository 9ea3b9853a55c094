/** Ports, and the connections a guest names in its hypercalls (TLFS, "Port Management"). */
import { EEXIST, EINVAL, ENOENT, ENOSYS } from '../hv/errno.js'
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import {
  DOORBELL_ANY_VALUE,
  DOORBELL_SIZE,
  HV_INSUFFICIENT_MEMORY,
  HV_INVALID_CONNECTION_ID,
  HV_INVALID_PARAMETER,
  HV_INVALID_PORT_ID,
  HV_INVALID_VP_INDEX,
  HV_SUCCESS,
  HV_VP_ANY,
  PORT_DOORBELL,
  PORT_EVENT,
  PORT_MESSAGE,
} from '../hv/hypercalls.js'
import { CONNECTION_ID_MAX, PORTS_MAX } from '../hv/limits.js'
import { SINT_COUNT, SINT_DOORBELL } from '../hv/registers.js'
import { ringDoorbell } from './event-ring.js'
import { SIRBP } from './layout.js'
import type { Machine } from './machine.js'
import { removeOwned } from './message-queue.js'
import { MODEL_QEMU } from './profile.js'

export interface Port {
  readonly type: number
  /** VP index, or HV_VP_ANY. */
  readonly vp: number
  readonly sint: number
  readonly baseFlag: number
  readonly flagCount: number
}

/** A store that rings a doorbell: where, what, and how wide (0 = any width). */
export interface Doorbell {
  readonly gpaLo: number
  readonly gpaHi: number
  readonly valueLo: number
  readonly valueHi: number
  readonly flags: number
}

export interface Connection {
  readonly port: number
  readonly doorbell: Doorbell | null
}

export const DOORBELL_TYPE = PORT_DOORBELL

const isId = (id: number) => id >= 0 && id <= CONNECTION_ID_MAX

/** HvCreatePort; a status. */
export function createPort(m: Machine, id: number, port: Port): number {
  if (!isId(id) || port.sint < 0 || port.sint >= SINT_COUNT) return HV_INVALID_PARAMETER
  if (port.type !== PORT_MESSAGE && port.type !== PORT_EVENT && port.type !== PORT_DOORBELL) {
    return HV_INVALID_PARAMETER
  }
  // QEMU has no event rings (SIRBP is #GP), so nothing that a doorbell could ring.
  const qemu = m.profile.model === MODEL_QEMU
  if (port.type === PORT_DOORBELL && qemu) return HV_INVALID_PARAMETER
  const flags = port.baseFlag + port.flagCount
  if (port.type === PORT_EVENT && (port.flagCount < 1 || flags > FLAGS_PER_SINT)) return HV_INVALID_PARAMETER
  // A handler of QEMU's posts to a SINT route, which is one vCPU's (hyperv_sint_route_new).
  const isAny = port.vp === HV_VP_ANY && !qemu
  if (!isAny && m.rowOfVp(port.vp) < 0) return HV_INVALID_VP_INDEX
  if (m.ports.has(id)) return HV_INVALID_PORT_ID
  if (m.ports.size >= PORTS_MAX) return HV_INSUFFICIENT_MEMORY
  m.ports.set(id, port)
  return HV_SUCCESS
}

/** HvDeletePort: its undelivered messages go; its connections stay and answer INVALID_PORT_ID. */
export function deletePort(m: Machine, id: number): number {
  if (!m.ports.delete(id)) return HV_INVALID_PORT_ID
  removeOwned(m, id)
  return HV_SUCCESS
}

/** HvConnectPort; a status. */
export function connect(m: Machine, id: number, connection: Connection): number {
  if (!isId(id)) return HV_INVALID_PARAMETER
  const port = m.ports.get(connection.port)
  if (port === undefined) return HV_INVALID_PORT_ID
  if ((port.type === PORT_DOORBELL) !== (connection.doorbell !== null)) return HV_INVALID_PARAMETER
  if (m.connections.has(id)) return HV_INVALID_CONNECTION_ID
  if (m.connections.size >= PORTS_MAX) return HV_INSUFFICIENT_MEMORY
  m.connections.set(id, connection)
  if (connection.doorbell !== null) m.doorbells++
  return HV_SUCCESS
}

/** HvDisconnectPort; messages already queued stay queued. */
export function disconnect(m: Machine, id: number): number {
  const connection = m.connections.get(id)
  if (connection === undefined) return HV_INVALID_CONNECTION_ID
  m.connections.delete(id)
  if (connection.doorbell !== null) m.doorbells--
  return HV_SUCCESS
}

/** KVM_HYPERV_EVENTFD: a connection that HvSignalEvent signals without leaving the kernel; 0 or an errno. */
export function changeEventfd(m: Machine, conn: number, assign: boolean): number {
  if (!m.profile.kvm) return ENOSYS
  if (!isId(conn)) return EINVAL
  if (assign === m.eventfds.has(conn)) return assign ? EEXIST : ENOENT
  if (assign) m.eventfds.add(conn)
  else m.eventfds.delete(conn)
  return 0
}

/** Does a store of `bytes` bytes match? (HV_DOORBELL_FLAG_*) */
function matches(doorbell: Doorbell, lo: number, hi: number, bytes: number): boolean {
  const size = doorbell.flags & DOORBELL_SIZE
  if (size !== 0 && 1 << (size - 1) !== bytes) return false
  if ((doorbell.flags & DOORBELL_ANY_VALUE) !== 0) return true
  return doorbell.valueLo === lo && doorbell.valueHi === hi
}

/** A guest store: every doorbell it matches is rung, in order of connection. The memory is written too. */
export function ringMatching(
  m: Machine,
  gpaLo: number,
  gpaHi: number,
  lo: number,
  hi: number,
  bytes: number,
): void {
  for (const { doorbell, port } of m.connections.values()) {
    if (doorbell === null || doorbell.gpaLo !== gpaLo || doorbell.gpaHi !== gpaHi) continue
    if (!matches(doorbell, lo, hi, bytes)) continue
    const target = m.ports.get(port)
    if (target === undefined) continue
    const v = target.vp === HV_VP_ANY ? lowestWithRing(m) : m.rowOfVp(target.vp)
    if (v >= 0 && target.sint === SINT_DOORBELL) ringDoorbell(m, v, port)
  }
}

function lowestWithRing(m: Machine): number {
  return m.rowsById().find((v) => (m.w[v + SIRBP] & 1) !== 0) ?? -1
}
