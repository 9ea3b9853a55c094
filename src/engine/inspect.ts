/** Registers, memory, tables and clock of a partition as they stand. Looks only, like inspect-vcpu.ts. */
import { PORT_TYPES } from '../api/op.js'
import { resultText } from '../api/result.js'
import type { ClockView } from '../api/tables.js'
import { hexU32, hexU64 } from '../api/wire.js'
import { fromBigInt } from '../hv/bits.js'
import { EBUSY, EINVAL } from '../hv/errno.js'
import { DOORBELL_ANY_VALUE, DOORBELL_SIZE, HV_VP_ANY } from '../hv/hypercalls.js'
import { GPA_PAGE_BYTES, MEMORY_OP_BYTES_MAX } from '../hv/limits.js'
import { MSR_NAMES } from '../hv/msrs.js'
import { HAS_VALUE } from '../synic/effects.js'
import { routeEntries } from '../synic/gsi-routes.js'
import { memRead } from '../synic/memory-ops.js'
import { readMsr } from '../synic/msr-table.js'
import { isAccessible } from '../synic/pages.js'
import { EngineError } from './errors.js'
import { rowOf } from './inspect-vcpu.js'
import type { PartitionHost } from './partition-host.js'

/**
 * What `msr.read` would answer now, as JSON text.
 * @throws EngineError vcpu-not-found
 */
export function readRegister(host: PartitionHost, vcpu: number, msr: number, byHost: boolean): string {
  host.catchUp()
  const m = host.partition.machine
  const v = rowOf(host, vcpu)
  const { effects } = m
  effects.reset()
  if (m.paused && !byHost) effects.fail(EBUSY)
  else if (!readMsr(m, v, msr, byHost)) {
    effects.has &= ~HAS_VALUE
    if (byHost) effects.fail(EINVAL)
    else effects.gp()
  }
  return resultText(effects)
}

/** Every register by number and name, with what reading it gives. */
export function readRegisters(host: PartitionHost, vcpu: number, byHost: boolean): string {
  const items = [...MSR_NAMES].map(([msr, name]) => {
    const result = readRegister(host, vcpu, msr, byHost)
    return `{"msr":"${hexU32(msr)}","name":"${name}",${result.slice(1)}`
  })
  return `{"items":[${items.join(',')}]}`
}

/** Guest page numbers of a range. */
function pagesOf(gpa: bigint, bytes: number): { first: number; last: number } {
  const page = BigInt(GPA_PAGE_BYTES)
  return { first: Number(gpa / page), last: Number((gpa + BigInt(Math.max(bytes, 1) - 1)) / page) }
}

/** @throws EngineError gpa-out-of-range unless all of the range is memory */
function checkRange(host: PartitionHost, gpa: bigint, bytes: number): void {
  const { first, last } = pagesOf(gpa, bytes)
  const m = host.partition.machine
  for (let gpn = first; gpn <= last; gpn++) {
    if (gpn < 2 ** 52 && isAccessible(m, gpn)) continue
    const end = `0x${(BigInt(m.config.gpaPages) * BigInt(GPA_PAGE_BYTES)).toString(16)}`
    const detail = `[0x${gpa.toString(16)}, +${bytes}) is not all guest memory, which ends at ${end}.`
    throw new EngineError('gpa-out-of-range', detail, [
      { path: 'gpa', message: 'must begin a range of guest memory' },
    ])
  }
}

/** @throws EngineError gpa-out-of-range */
export function readMemory(host: PartitionHost, gpa: bigint, bytes: number): Uint8Array {
  checkRange(host, gpa, bytes)
  const m = host.partition.machine
  const out = new Uint8Array(bytes)
  for (let done = 0; done < bytes; done += MEMORY_OP_BYTES_MAX) {
    const { lo, hi } = fromBigInt(gpa + BigInt(done))
    m.effects.reset()
    memRead(m, lo, hi, Math.min(MEMORY_OP_BYTES_MAX, bytes - done))
    out.set(m.effects.bytes, done)
  }
  return out
}

/**
 * May all of a range be written?
 * @throws EngineError gpa-out-of-range, limit-memory
 */
export function checkMemoryWrite(host: PartitionHost, gpa: bigint, bytes: number): void {
  checkRange(host, gpa, bytes)
  const { memory, config } = host.partition.machine
  const { first, last } = pagesOf(gpa, bytes)
  let missing = 0
  for (let gpn = first; gpn <= last; gpn++) if (memory.frameAt(gpn) === 0) missing++
  if (missing === 0 || memory.pageCount + missing <= config.memoryPagesMax) return
  const limit = `the ${config.memoryPagesMax} that partition ${host.id} may touch`
  const detail = `${missing} more pages would exceed ${limit}.`
  throw new EngineError('limit-memory', detail)
}

export function routesOf(host: PartitionHost) {
  return routeEntries(host.partition.machine)
}

export function portsOf(host: PartitionHost) {
  const ports = [...host.partition.machine.ports].sort(([a], [b]) => a - b)
  return ports.map(([port, { type, vp, sint, baseFlag, flagCount }]) => ({
    port,
    // Message and event ports are types 1 and 2; 3, monitor ports, are never made; doorbells are 4.
    type: PORT_TYPES[type <= 2 ? type - 1 : 2],
    ...(vp === HV_VP_ANY ? {} : { vcpu: vp }),
    sint,
    flag_base: baseFlag,
    flag_count: flagCount,
  }))
}

export function connectionsOf(host: PartitionHost) {
  const connections = [...host.partition.machine.connections].sort(([a], [b]) => a - b)
  return connections.map(([connection, { port, doorbell }]) => {
    if (doorbell === null) return { connection, port }
    const { gpaLo, gpaHi, valueLo, valueHi, flags } = doorbell
    const size = flags & DOORBELL_SIZE
    const anyValue = (flags & DOORBELL_ANY_VALUE) !== 0
    return {
      connection,
      port,
      gpa: hexU64(gpaLo, gpaHi),
      ...(anyValue ? {} : { value: hexU64(valueLo, valueHi) }),
      ...(size >= 1 && size <= 4 ? { len: 1 << (size - 1) } : {}),
    }
  })
}

export function clockOf(host: PartitionHost): ClockView {
  host.catchUp()
  const { first } = host.partition.machine.due
  return { now: host.partition.now, clock: host.clock, next_due: Number.isFinite(first) ? first : null }
}
