/** What the drivers of one running kernel share: the kind of partition, its CPUs, pages, who is there. */
import type { PartitionKind } from '../hv/cpuid.js'
import { MshvState } from './mshv-state.js'
import { VmbusContact } from './vmbus-contact-state.js'

/** A guest physical page, by its number. */
export type Gpn = number

export interface KernelConfig {
  readonly kind: PartitionKind
  /** CPUs that come online at boot, ascending. */
  readonly vcpus: readonly number[]
  /** CPUID 0x40000004 EAX bit 9: the hypervisor advises against auto-EOI. */
  readonly deprecatesAutoEoi: boolean
  /** CPUID 0x40000003 EDX bit 19. */
  readonly hasDirectTimers: boolean
  /** First page that its allocator gives out. */
  readonly firstGpn: Gpn
  /** A paravisor provides the SynIC pages and answers for the SINTs (Linux ms_hyperv.paravisor_present). */
  readonly paravisor?: boolean
  /** Its memory was another kernel's before, so what it allocates is cleared by stores of its own. */
  readonly clearsPages?: boolean
}

export class Kernel {
  readonly online: Set<number>
  /** Does a VMBus device exist? MSHV v4 asks this at each call, and nothing else. */
  vmbusExists = false
  /** Drivers with a CPU hotplug state, in order of registration (cpuhp_setup_state, CPUHP_AP_ONLINE_DYN). */
  readonly hotplug = new Set<'vmbus' | 'mshv'>()
  readonly vmbus = new VmbusContact()
  readonly mshv = new MshvState()
  /** Linux hv_clock_event: the timers were set up, and nobody has stopped them for good. */
  timersExist = false
  /** Ticks that a CPU's timer handler arms its timer for again. */
  readonly rearm = new Map<number, number>()
  #nextGpn: Gpn
  readonly #pages = new Map<string, Gpn>()

  constructor(readonly config: KernelConfig) {
    this.online = new Set(config.vcpus)
    this.#nextGpn = config.firstGpn
  }

  /** CPU 0 of this kernel, which its boot ran on; VMBus's host answers there (VMBUS_CONNECT_CPU). */
  get bootCpu(): number {
    return this.config.vcpus[0]
  }

  /** CPUs that are online, ascending: the order in which the hotplug core sets up and tears down. */
  cpus(): number[] {
    return [...this.online].sort((a, b) => a - b)
  }

  /** All that it knows, ascending: those it has booted with, and those that came since. */
  vcpus(): number[] {
    return [...new Set([...this.config.vcpus, ...this.online])].sort((a, b) => a - b)
  }

  /** The page for a purpose on a vCPU: taken from the allocator at first use, the same from then on. */
  page(purpose: string, vcpu: number): Gpn {
    const key = `${purpose} ${vcpu}`
    const known = this.#pages.get(key)
    if (known !== undefined) return known
    const gpn = this.#nextGpn++
    this.#pages.set(key, gpn)
    return gpn
  }

  /** The page for a purpose was found, not taken: the hypervisor or a paravisor provides it. */
  adopt(purpose: string, vcpu: number, gpn: Gpn): void {
    this.#pages.set(`${purpose} ${vcpu}`, gpn)
  }

  hasPage(purpose: string, vcpu: number): boolean {
    return this.#pages.has(`${purpose} ${vcpu}`)
  }

  /** The page goes back to the allocator, which does not give it out again. */
  release(purpose: string, vcpu: number): void {
    this.#pages.delete(`${purpose} ${vcpu}`)
  }

  /** The kernel that boots next on this machine. Unless told otherwise it takes pages behind this one's. */
  successor(config: Partial<KernelConfig> = {}): Kernel {
    return new Kernel({ ...this.config, firstGpn: this.#nextGpn, ...config })
  }
}
