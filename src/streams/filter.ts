/** Which notifications a client wants, ready to be asked for each. */
import { type Filter, NOTIFICATION_KINDS } from '../api/frames.js'
import { kindOf, vcpuOf } from '../api/notification.js'
import { ALL_KINDS } from '../api/records.js'

export class NotificationFilter {
  /** Equal filters have equal keys. */
  readonly key: string
  /** Does it leave nothing out? */
  readonly isOpen: boolean
  /** Does it leave out everything? */
  readonly isClosed: boolean
  readonly #kinds: number
  readonly #vcpus: ReadonlySet<number> | null

  /** A part left out means all. */
  constructor({ kinds, vcpus }: Filter) {
    const bits = kinds?.map((kind) => 1 << NOTIFICATION_KINDS.indexOf(kind))
    this.#kinds = bits?.reduce((mask, bit) => mask | bit, 0) ?? ALL_KINDS
    this.#vcpus = vcpus === undefined ? null : new Set(vcpus)
    this.isOpen = this.#kinds === ALL_KINDS && this.#vcpus === null
    this.isClosed = this.#kinds === 0
    const list = this.#vcpus === null ? '' : [...this.#vcpus].sort((a, b) => a - b).join()
    this.key = `${this.#kinds}/${this.#vcpus === null ? 'all' : list}`
  }

  wants(words: Int32Array, at: number): boolean {
    if ((this.#kinds & (1 << kindOf(words, at))) === 0) return false
    const vcpu = vcpuOf(words, at)
    // What concerns the whole partition concerns every vCPU.
    return this.#vcpus === null || vcpu < 0 || this.#vcpus.has(vcpu)
  }
}
