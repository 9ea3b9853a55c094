/** All that routes, streams and tests may call: partitions by id, made, found, copied, removed. */

import type { AuditMode } from '../api/violation.js'
import type { PartitionKind } from '../hv/cpuid.js'
import { Effects } from '../synic/effects.js'
import { forkPartition } from '../synic/fork.js'
import { Machine } from '../synic/machine.js'
import { OpWriter } from '../synic/op.js'
import { Partition } from '../synic/partition.js'
import { type OptionOverrides, type ProfileName, resolveOptions } from '../synic/profile.js'
import { restorePartition, savePartition } from '../synic/save-state.js'
import type { SavedState } from '../synic/saved-state.js'
import { RealtimeClock } from './clock.js'
import { EngineError } from './errors.js'
import { DEFAULT_LIMITS, type ServiceLimits } from './limits.js'
import { Meter } from './meter.js'
import { type ClockMode, type HostEnvironment, type Labels, PartitionHost } from './partition-host.js'

/** What a partition is created with; every field may be left out. */
export interface PartitionRequest {
  readonly id?: string | undefined
  readonly kind?: PartitionKind | undefined
  readonly profile?: ProfileName | undefined
  readonly vcpus?: number | undefined
  /** Pages of guest physical address space. */
  readonly gpaPages?: number | undefined
  readonly clock?: ClockMode | undefined
  readonly options?: OptionOverrides | undefined
  readonly labels?: Labels | undefined
  /** `enforce` has a teardown write to a disabled SynIC fault, where the kind allows it. */
  readonly audit?: AuditMode | undefined
}

const DEFAULT_GPA_PAGES = 0x10_0000
/** Pages that registers of one vCPU may have made beyond what guest stores may touch. */
const PAGES_BESIDES = 16

export class Service {
  readonly meter = new Meter()
  readonly limits: ServiceLimits
  readonly #hosts = new Map<string, PartitionHost>()
  readonly #clock = new RealtimeClock()
  readonly #env: HostEnvironment
  #vcpus = 0
  #nextId = 1
  #nextSerial = 1

  /** @param now monotonic milliseconds; tests hand in their own */
  constructor(limits: Partial<ServiceLimits> = {}, now: () => number = () => performance.now()) {
    this.limits = { ...DEFAULT_LIMITS, ...limits }
    this.#env = {
      limits: this.limits,
      meter: this.meter,
      now,
      scratch: { batch: new OpWriter(), clock: new OpWriter(), effects: new Effects() },
      vcpusLeft: () => this.limits.vcpusMax - this.#vcpus,
      vcpusCreated: (count) => {
        this.#vcpus += count
      },
    }
  }

  get partitionCount(): number {
    return this.#hosts.size
  }

  get vcpuCount(): number {
    return this.#vcpus
  }

  /** A new partition with its vCPUs, created by the first ops of its log. */
  create(request: PartitionRequest): PartitionHost {
    const { kind = 'guest', profile = 'tlfs', vcpus = 1, gpaPages = DEFAULT_GPA_PAGES } = request
    const { audit = 'observe' } = request
    const enforced = audit === 'enforce' ? ({ disabled_write: 'fault' } as const) : {}
    const options = resolveOptions(profile, kind, { ...enforced, ...request.options })
    const id = this.#claimId(request.id)
    this.#checkRoom(vcpus)
    const { memoryPagesMax } = this.limits
    const config = { kind, profile, gpaPages, memoryPagesMax, options }
    const partition = new Partition(config, new Machine(config, this.#env.scratch.effects))
    partition.machine.reserveRows(vcpus)
    const host = this.#host(id, partition, request.clock ?? 'virtual', audit, request.labels)
    let refused: string | undefined
    for (let vcpu = 0; vcpu < vcpus && refused === undefined; vcpu++) {
      const result = host.applyOne({ op: 'vcpu.create', vcpu })
      if (result !== '{"ok":true}') refused = result
    }
    if (refused !== undefined) {
      this.#vcpus -= host.vcpuCount
      const rule = 'must leave room for three provisioned pages a vCPU'
      throw new EngineError('invalid-config', `The partition has no room for ${vcpus} vCPUs.`, [
        { path: 'gpa_limit', message: rule },
      ])
    }
    return this.#add(host)
  }

  /** A partition in the state of a snapshot document whose shape was checked. */
  restore(
    id: string | undefined,
    state: SavedState,
    clock: ClockMode = 'virtual',
    labels?: Labels,
    audit: AuditMode = 'observe',
  ): PartitionHost {
    this.#checkDocument(state)
    const freeId = this.#claimId(id)
    this.#checkRoom(state.vcpus.length)
    const partition = restorePartition(state, this.#env.scratch.effects)
    const host = this.#host(freeId, partition, clock, audit, labels)
    this.#vcpus += host.vcpuCount
    return this.#add(host)
  }

  /** A copy under another id; pages are shared until one side writes. */
  fork(source: PartitionHost, id: string | undefined, labels?: Labels): PartitionHost {
    const freeId = this.#claimId(id)
    this.#checkRoom(source.vcpuCount)
    source.catchUp()
    const host = this.#host(
      freeId,
      forkPartition(source.partition, this.#env.scratch.effects),
      source.clock,
      source.audit.mode,
      labels ?? source.labels,
    )
    host.audit.learnFrom(source.audit, source.journal)
    this.#vcpus += host.vcpuCount
    return this.#add(host)
  }

  /** @throws EngineError snapshot-too-large */
  snapshot(host: PartitionHost): SavedState {
    host.catchUp()
    const { pageCount } = host.partition.machine.memory
    const { snapshotPagesMax } = this.limits
    if (pageCount > snapshotPagesMax) {
      const detail = `Partition ${host.id} holds ${pageCount} pages; a document at most ${snapshotPagesMax}.`
      throw new EngineError('snapshot-too-large', detail)
    }
    return savePartition(host.partition)
  }

  find(id: string): PartitionHost | undefined {
    return this.#hosts.get(id)
  }

  /** @throws EngineError partition-not-found */
  get(id: string): PartitionHost {
    const host = this.#hosts.get(id)
    if (host === undefined) throw new EngineError('partition-not-found', `There is no partition "${id}".`)
    return host
  }

  /** Partitions in order of creation. */
  list(): IterableIterator<PartitionHost> {
    return this.#hosts.values()
  }

  delete(id: string): void {
    const host = this.get(id)
    this.#clock.remove(host)
    this.#hosts.delete(id)
    this.#vcpus -= host.vcpuCount
    for (const tell of host.onDelete) tell()
  }

  close(): void {
    this.#clock.close()
  }

  #host(
    id: string,
    partition: Partition,
    clock: ClockMode,
    audit: AuditMode,
    labels?: Labels,
  ): PartitionHost {
    const host = new PartitionHost(id, this.#nextSerial++, partition, clock, this.#env, audit)
    if (labels !== undefined) host.labels = labels
    return host
  }

  #add(host: PartitionHost): PartitionHost {
    this.#hosts.set(host.id, host)
    this.#clock.add(host)
    return host
  }

  /** A document brings its own bound on memory, which may not go beyond this server's. */
  #checkDocument(state: SavedState): void {
    const { memoryPagesMax } = this.limits
    const refuse = (path: string, rule: string) => {
      const message = `must be ${rule}`
      throw new EngineError('invalid-snapshot', `${path} ${message}.`, [
        { path: `snapshot/${path}`, message },
      ])
    }
    if (state.config.memory_pages_max > memoryPagesMax) {
      refuse('config/memory_pages_max', `at most ${memoryPagesMax} on this server`)
    }
    const room = memoryPagesMax + PAGES_BESIDES * (state.vcpus.length + 1)
    if (state.memory.length > room) refuse('memory', `at most ${room} pages on this server`)
  }

  #claimId(id: string | undefined): string {
    if (this.#hosts.size >= this.limits.partitionsMax) {
      const { partitionsMax } = this.limits
      throw new EngineError('limit-partitions', `This server hosts at most ${partitionsMax} partitions.`)
    }
    if (id === undefined) {
      while (this.#hosts.has(`p${this.#nextId}`)) this.#nextId++
      return `p${this.#nextId++}`
    }
    if (this.#hosts.has(id)) {
      throw new EngineError('partition-exists', `There already is a partition "${id}".`, [
        { path: 'id', message: 'must not be in use' },
      ])
    }
    return id
  }

  #checkRoom(vcpus: number): void {
    const left = this.limits.vcpusMax - this.#vcpus
    if (vcpus > left) {
      throw new EngineError('limit-vcpus', `This server has room for ${left} more vCPUs, not ${vcpus}.`, [
        { path: 'vcpus', message: `must be at most ${left} now` },
      ])
    }
  }
}
