// Bytes of heap and buffers that one idle vCPU costs, at 100,000 of them.
import { Service } from '../src/engine/service.js'
import type { Row } from './measure.js'

const VCPUS = 100_000

function used(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** @param perPartition vCPUs of each partition: few partitions with many vCPUs, or many with few */
function bytesPerVcpu(perPartition: number): number {
  const before = used()
  // The log of the creation is the log's business, not the vCPU's.
  const service = new Service({ partitionsMax: VCPUS, logOpsMax: 0 })
  for (let made = 0; made < VCPUS; made += perPartition) {
    service.create({ profile: 'kvm-synic2', vcpus: Math.min(perPartition, VCPUS - made) })
  }
  const bytes = (used() - before) / service.vcpuCount
  service.close()
  return bytes
}

export function memoryRows(): Row[] {
  if (globalThis.gc === undefined) throw new Error('run with node --expose-gc')
  return [1000, 64, 8].map((perPartition) => {
    const bytes = bytesPerVcpu(perPartition)
    const what = `memory per idle vCPU, ${perPartition} to a partition`
    const goal = perPartition >= 64 ? { goal: '<= 512 B', met: bytes <= 512 } : {}
    return { what, unit: 'B', median: bytes, min: bytes, max: bytes, ...goal }
  })
}
