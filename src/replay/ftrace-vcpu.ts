// Which vCPU an event belongs to: by its own word, by its thread, or by the CPU column inside a guest.
import type { FtraceEvent } from './ftrace-line.js'

/** Events held back while the vCPU of the first one's thread is not known. */
export const LOOKAHEAD_MAX = 20_000

/** How a vCPU was found. `guessed`: threads that no event names, numbered in order of appearance. */
type Source = 'named' | 'thread' | 'cpu' | 'guessed'

export interface PlacedEvent {
  readonly event: FtraceEvent
  readonly vcpu: number
  readonly source: Source
}

/**
 * What an event says of its thread. A vCPU's own work names it for certain; an interrupt is accepted, and a
 * host timer fires, on whatever thread happens to run.
 */
function naming({ body }: FtraceEvent): { vcpu: number; certain: boolean } | undefined {
  switch (body.name) {
    case 'kvm_entry':
    case 'kvm_exit':
      return body.vcpu === undefined ? undefined : { vcpu: body.vcpu, certain: true }
    case 'kvm_hv_synic_set_msr':
    case 'kvm_hv_stimer_set_config':
    case 'kvm_hv_stimer_set_count':
      return { vcpu: body.vcpu, certain: !body.host }
    case 'kvm_hv_stimer_start_periodic':
    case 'kvm_hv_stimer_start_one_shot':
    case 'kvm_hv_stimer_expiration':
    case 'kvm_hv_synic_send_eoi':
    case 'kvm_hv_notify_acked_sint':
    case 'kvm_eoi':
      return { vcpu: body.vcpu, certain: true }
    case 'kvm_hv_synic_set_irq':
    case 'kvm_apic_accept_irq':
    case 'kvm_hv_stimer_callback':
    case 'kvm_hv_stimer_cleanup':
      return { vcpu: body.vcpu, certain: false }
    case 'kvm_msr':
    case 'read_msr':
    case 'write_msr':
    case 'kvm_inj_virq':
    case 'kvm_hv_hypercall':
    case 'kvm_hv_hypercall_done':
      return undefined
  }
}

/** Takes events in order and gives them back in order, each with its vCPU. */
export class VcpuResolver {
  readonly #queue: FtraceEvent[] = []
  #head = 0
  #ended = false
  /** The vCPU a thread was last named with. */
  readonly #current = new Map<number, number>()
  /** The first vCPU a thread is named with: for its events before that. */
  readonly #first = new Map<number, number>()
  readonly #weak = new Map<number, number>()
  readonly #guessed = new Map<number, number>()

  push(event: FtraceEvent): void {
    this.#queue.push(event)
    const named = naming(event)
    if (named === undefined) return
    const map = named.certain ? this.#first : this.#weak
    if (!map.has(event.pid)) map.set(event.pid, named.vcpu)
  }

  /** No more events come: what is still unknown is guessed. */
  end(): void {
    this.#ended = true
  }

  /** The next event whose vCPU is known, or undefined: push more. */
  next(): PlacedEvent | undefined {
    const event = this.#queue[this.#head]
    if (event === undefined) return undefined
    const placed = this.#place(event)
    if (placed === undefined) return undefined
    this.#head++
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head)
      this.#head = 0
    }
    return placed
  }

  #place(event: FtraceEvent): PlacedEvent | undefined {
    const { body, pid, cpu } = event
    if (body.name === 'read_msr' || body.name === 'write_msr') return { event, vcpu: cpu, source: 'cpu' }
    const named = naming(event)
    if (named !== undefined) {
      if (named.certain) this.#current.set(pid, named.vcpu)
      return { event, vcpu: named.vcpu, source: 'named' }
    }
    const known = this.#current.get(pid) ?? this.#first.get(pid)
    if (known !== undefined) return { event, vcpu: known, source: 'thread' }
    const waiting = this.#queue.length - this.#head
    if (!this.#ended && waiting < LOOKAHEAD_MAX) return undefined
    const weak = this.#weak.get(pid)
    if (weak !== undefined) return { event, vcpu: weak, source: 'thread' }
    return { event, vcpu: this.#guess(pid), source: 'guessed' }
  }

  #guess(pid: number): number {
    const known = this.#guessed.get(pid)
    if (known !== undefined) return known
    const taken = new Set([this.#current, this.#first, this.#guessed].flatMap((map) => [...map.values()]))
    let vcpu = 0
    while (taken.has(vcpu)) vcpu++
    this.#guessed.set(pid, vcpu)
    return vcpu
  }
}
