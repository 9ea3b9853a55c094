/** Lives of a Linux partition that break no rule: what its kernels do in the published order, at random. */
import fc from 'fast-check'
import type { PartitionKind } from '../../src/hv/cpuid.js'

export type LifeStep =
  | string
  | { run: string; with?: Record<string, unknown>; kernel?: string; gives?: number }

export interface Life {
  readonly partition: { readonly kind: PartitionKind; readonly profile: string; readonly vcpus: number }
  readonly steps: readonly LifeStep[]
  /** How many steps lead to where vCPU 0 and its drivers are up, MSHV among them or not. */
  readonly calm: readonly Calm[]
}

interface Calm {
  readonly steps: number
  readonly hasMshv: boolean
}

/** MSHV's versions that keep to their own registers. */
const FIXED = ['v1', 'v2', 'v3', 'v4']
const PROFILES = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs']
const VCPUS = 3
/** Who had the SynIC before the kernel, of guests; the loader takes it while iPXE rests. */
const BEFORE: readonly (readonly Omit<Exclude<LifeStep, string>, 'kernel'>[])[] = [
  [],
  [{ run: 'firmware.up' }, { run: 'firmware.cleanup' }],
  [{ run: 'ipxe.attach' }, { run: 'ipxe.remove', with: { polls: 2 } }],
  [
    { run: 'ipxe.attach' },
    { run: 'ipxe.quiesce' },
    { run: 'winload.up' },
    { run: 'winload.down' },
    { run: 'ipxe.unquiesce', with: { polls: 2 }, gives: -110 },
    { run: 'ipxe.remove', with: { polls: 2 } },
  ],
  [{ run: 'windows_kd.probe' }],
  [{ run: 'freebsd.up' }, { run: 'freebsd.down' }],
]

class Author {
  readonly steps: LifeStep[] = []
  readonly calm: Calm[] = []
  readonly #away = new Set<number>()
  #kernel = 1
  #hasMshv = false
  #snaps = 0

  constructor(
    private readonly kind: PartitionKind,
    private readonly version: string,
  ) {}

  get #isParent(): boolean {
    return this.kind !== 'guest'
  }

  boot(vcpus?: readonly number[]): void {
    this.#hasMshv = this.#isParent
    const version = this.#isParent ? this.version : null
    this.#run('linux.boot', vcpus === undefined ? { version } : { version, vcpus })
  }

  before(what: number): void {
    if (this.kind !== 'guest') return
    const steps = BEFORE[what % BEFORE.length] ?? []
    for (const step of steps) this.steps.push({ ...step, kernel: 'before' })
    if (steps.length > 0) this.steps.push('boot linux')
  }

  event(what: number, vcpu: number): void {
    this.calm.push({ steps: this.steps.length, hasMshv: this.#hasMshv })
    const isAway = this.#away.has(vcpu)
    const events = [
      () => isAway || this.#message(vcpu),
      () => isAway || this.#flag(vcpu),
      () => this.#hotplug(vcpu),
      () => isAway || this.#timer(vcpu),
      () => this.steps.push('pause', 'advance 1000', 'resume'),
      () => this.steps.push(`snap s${++this.#snaps}`, `restore s${this.#snaps}`),
      () => this.#sleep(),
      () => this.#reload(),
      () => this.#kexec(),
      () => this.steps.push('settle'),
    ]
    events[what % events.length]?.()
  }

  end(how: number): void {
    this.calm.push({ steps: this.steps.length, hasMshv: this.#hasMshv })
    if (how === 0) this.#kexec()
    else if (how === 1) this.#run('linux.crash', { vcpus: [0], next: 'kdump', rounds: 1 })
    else if (how === 2) this.steps.push('reset')
  }

  #message(vcpu: number): void {
    // A wake for MSHV where there is no VMBus in this file, else a message to a channel.
    const isMshvs = this.kind === 'root' || (this.#hasMshv && vcpu === 1)
    if (this.kind === 'nested_root' && !this.#hasMshv) return
    if (isMshvs && !this.#hasMshv) return
    const isPosted = isMshvs || this.kind !== 'nested_root'
    if (isPosted) this.steps.push(`post v${vcpu} ${isMshvs ? 's0 t=0x80000100' : 's2 t=1'} #A`)
    this.#run('linux.interrupt', { vcpus: [vcpu] })
  }

  #flag(vcpu: number): void {
    if (this.kind !== 'guest' && this.kind !== 'l1vh') return
    this.steps.push(`signal v${vcpu} s2 f${5 + vcpu}`)
    this.#run('linux.interrupt', { vcpus: [vcpu] })
  }

  #hotplug(vcpu: number): void {
    if (vcpu === 0) return
    const isAway = this.#away.has(vcpu)
    this.#run(isAway ? 'linux.online' : 'linux.offline', { vcpus: [vcpu] })
    if (isAway) this.#away.delete(vcpu)
    else this.#away.add(vcpu)
  }

  #timer(vcpu: number): void {
    // A timer in message mode needs VMBus's SINT2, and KVM's SynIC for messages: guests alone.
    if (this.kind !== 'guest') return
    this.#run('stimer.arm', { vcpus: [vcpu], ticks: 1000 })
    this.steps.push('advance 2000')
    this.#run('linux.interrupt', { vcpus: [vcpu] })
  }

  /** freeze_secondary_cpus, then VMBus's system core op, and back. */
  #sleep(): void {
    if (this.kind !== 'guest') return
    for (let vcpu = 1; vcpu < VCPUS; vcpu++) if (!this.#away.has(vcpu)) this.#hotplug(vcpu)
    this.#run('vmbus.suspend')
    this.steps.push('advance 100000')
    this.#run('vmbus.resume')
  }

  #reload(): void {
    if (!this.#isParent) return
    if (this.#hasMshv) this.#run('mshv.down')
    else this.#run('mshv.up', { version: this.version })
    this.#hasMshv = !this.#hasMshv
  }

  #kexec(): void {
    for (let vcpu = 1; vcpu < VCPUS; vcpu++) if (this.#away.has(vcpu)) this.#hotplug(vcpu)
    this.#run('linux.kexec', { next: `linux-${this.#kernel + 1}` })
    this.#kernel++
    this.boot()
  }

  #run(run: string, params?: Record<string, unknown>): void {
    const kernel = this.#kernel === 1 ? {} : { kernel: `linux-${this.#kernel}` }
    this.steps.push({ run, ...(params === undefined ? {} : { with: params }), ...kernel })
  }
}

/** Kexec, crash, reset; MSHV loaded and unloaded; CPUs that come and go; sleep; messages, flags, timers. */
export const lives = (...kinds: readonly PartitionKind[]): fc.Arbitrary<Life> =>
  fc
    .record({
      kind: fc.constantFrom(...kinds),
      profile: fc.constantFrom(...PROFILES),
      version: fc.constantFrom(...FIXED),
      events: fc.array(fc.tuple(fc.nat(9), fc.nat(VCPUS - 1)), { minLength: 1, maxLength: 12 }),
      before: fc.nat(BEFORE.length - 1),
      end: fc.nat(3),
    })
    .map(({ kind, profile, version, events, before, end }) => {
      const author = new Author(kind, version)
      author.before(before)
      author.boot()
      for (const [what, vcpu] of events) author.event(what, vcpu)
      author.end(end)
      // Only the published specification has event rings.
      const partition = { kind, profile: kind === 'guest' ? profile : 'tlfs', vcpus: VCPUS }
      return { partition, steps: author.steps, calm: author.calm }
    })
