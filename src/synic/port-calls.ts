/** The port hypercalls' input blocks (TLFS; offsets from Linux hvhdk headers). */
import * as hc from '../hv/hypercalls.js'
import { VP_INDEX } from './layout.js'
import type { Machine } from './machine.js'
import { readWords } from './memory-ops.js'
import { connect, createPort, deletePort, disconnect } from './ports.js'

/** Only the caller's own partition exists: its id is HV_PARTITION_ID_SELF. */
export function isSelf(words: Int32Array, at: number): boolean {
  return words[at] === hc.HV_PARTITION_ID_SELF && words[at + 1] === hc.HV_PARTITION_ID_SELF
}

/** HvCreatePort: 0:8 partition, 8:4 port, 16:8 connection's partition, 24:24 port info. */
export function createPortFromInput(m: Machine, v: number, lo: number, hi: number): number {
  const words = readWords(m, lo, hi, 14)
  if (words === undefined) return hc.HV_INVALID_ALIGNMENT
  if (!isSelf(words, 0) || !isSelf(words, 4)) return hc.HV_INVALID_PARTITION_ID
  const vp = words[9] >>> 0
  return createPort(m, words[2], {
    type: words[6],
    sint: words[8],
    vp: vp === hc.HV_VP_SELF ? m.w[v + VP_INDEX] : vp,
    baseFlag: words[10] & 0xffff,
    flagCount: words[10] >>> 16,
  })
}

/** HvConnectPort: 0:8 partition, 8:4 connection, 16:8 port's partition, 24:4 port, 32:32 connection info. */
export function connectFromInput(m: Machine, lo: number, hi: number): number {
  const words = readWords(m, lo, hi, 18)
  if (words === undefined) return hc.HV_INVALID_ALIGNMENT
  if (!isSelf(words, 0) || !isSelf(words, 4)) return hc.HV_INVALID_PARTITION_ID
  const [, , conn, , , , port, , type, , gpaLo, gpaHi, valueLo, valueHi, flags] = words
  const doorbell = type === hc.PORT_DOORBELL ? { gpaLo, gpaHi, valueLo, valueHi, flags } : null
  return connect(m, conn, { port, doorbell })
}

/** HvDeletePort and HvDisconnectPort, from memory or from RDX and R8: 0:8 partition, 8:4 id. */
export function deletePortFromInput(m: Machine, words: Int32Array): number {
  return isSelf(words, 0) ? deletePort(m, words[2]) : hc.HV_INVALID_PARTITION_ID
}

export function disconnectFromInput(m: Machine, words: Int32Array): number {
  return isSelf(words, 0) ? disconnect(m, words[2]) : hc.HV_INVALID_PARTITION_ID
}
