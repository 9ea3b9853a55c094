/** Which vCPUs and kernels there will be, step by step, as far as a document says by itself. */
import { noVcpu, type Roster } from './vcpu-choice.js'

export class PlannedRoster implements Roster {
  there: readonly number[]
  readonly kernels = new Map<string, readonly number[]>()
  readonly #snapshots = new Map<string, readonly number[]>()

  /** @param count vCPUs that the partition begins with */
  constructor(count: number) {
    this.there = Array.from({ length: count }, (_, vcpu) => vcpu)
  }

  /** Takes note of an op or a step in short form. What is told: the vCPU it is for is not there. */
  note(step: object): string | undefined {
    const { op, do: special, vcpu, name = '' } = step as Readonly<Record<string, string | number | undefined>>
    if (special === 'snap') this.#snapshots.set(`${name}`, this.there)
    if (special === 'restore') this.there = this.#snapshots.get(`${name}`) ?? this.there
    if (typeof vcpu !== 'number') return undefined
    if (op !== 'vcpu.create') return noVcpu([vcpu], this)
    if (!this.there.includes(vcpu)) this.there = [...this.there, vcpu].sort((a, b) => a - b)
    return undefined
  }

  begin(kernel: string, vcpus: readonly number[]): void {
    if (!this.kernels.has(kernel)) this.kernels.set(kernel, vcpus)
  }
}
