/** Each point where the machines differ, by name: one record a profile, bent by a partition's options. */
import { KVM_PRIVILEGES, type PartitionKind, type Privileges, privilegesOf } from '../hv/cpuid.js'

export const PROFILE_NAMES = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs', 'kvm'] as const
/** `kvm` is KVM where each vCPU's SynIC waits for `cap.enable`, and the capability picks the variant. */
export type ProfileName = (typeof PROFILE_NAMES)[number]

/** Whose delivery rules a partition follows. `qemu` runs on KVM and adds its own. */
export const MODEL_KVM = 0
export const MODEL_QEMU = 1
export const MODEL_OPENVMM = 2
export const MODEL_TLFS = 3
export type Model = typeof MODEL_KVM | typeof MODEL_QEMU | typeof MODEL_OPENVMM | typeof MODEL_TLFS

/** What lies at the address of an enabled SynIC page. */
export type PageModel = 'ram' | 'overlay' | 'overwriting-overlay'

export interface Profile {
  readonly model: Model
  /** KVM's own code decides about registers, timers and routing. */
  readonly kvm: boolean
  /** Capability that vCPU creation activates the SynIC with; `none`: it waits for `cap.enable`. */
  readonly activation: 'synic' | 'synic2' | 'none'
  readonly pages: PageModel
  readonly scontrolReset: number
  /** Guest write of an unmasked SINT with a vector below 16 is #GP. */
  readonly lowVectorFaults: boolean
  /** SINT bits 18, 19 and 20 mean something. */
  readonly honoursPolling: boolean
  readonly honoursProxy: boolean
  readonly honoursIntercept: boolean
  /** Enabling SIMP or SIEFP where there is no memory is #GP. */
  readonly enableChecksMemory: boolean
  readonly enforceCpuid: boolean
  /** `vcpu.reset` resets SynIC and timers. */
  readonly vcpuResetClearsSynic: boolean
  /** SIRBP and the nested file can exist, by partition kind. */
  readonly microsoftRegisters: boolean
  /** A raw hypercall is answered only by a guest that has identified itself. */
  readonly hypercallNeedsOsId: boolean
}

const KVM: Profile = {
  model: MODEL_KVM,
  kvm: true,
  activation: 'none',
  pages: 'ram',
  scontrolReset: 1,
  lowVectorFaults: true,
  honoursPolling: false,
  honoursProxy: false,
  honoursIntercept: false,
  enableChecksMemory: false,
  enforceCpuid: false,
  vcpuResetClearsSynic: false,
  microsoftRegisters: false,
  hypercallNeedsOsId: true,
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  // The golden traces' machine: their hypercalls never set the guest OS id.
  kvm: { ...KVM, hypercallNeedsOsId: false },
  'kvm-synic': { ...KVM, activation: 'synic' },
  'kvm-synic2': { ...KVM, activation: 'synic2' },
  qemu: { ...KVM, model: MODEL_QEMU, activation: 'synic2', pages: 'overlay', scontrolReset: 0 },
  openvmm: {
    model: MODEL_OPENVMM,
    kvm: false,
    activation: 'none',
    pages: 'overwriting-overlay',
    scontrolReset: 1,
    lowVectorFaults: false,
    honoursPolling: true,
    honoursProxy: true,
    honoursIntercept: false,
    enableChecksMemory: true,
    enforceCpuid: false,
    vcpuResetClearsSynic: true,
    microsoftRegisters: false,
    hypercallNeedsOsId: false,
  },
  tlfs: {
    model: MODEL_TLFS,
    kvm: false,
    activation: 'none',
    pages: 'overlay',
    scontrolReset: 0,
    lowVectorFaults: true,
    honoursPolling: true,
    honoursProxy: false,
    honoursIntercept: true,
    enableChecksMemory: false,
    enforceCpuid: true,
    vcpuResetClearsSynic: true,
    microsoftRegisters: true,
    hypercallNeedsOsId: true,
  },
}

export const IRQCHIPS = ['full', 'split', 'none'] as const
export const DISABLED_WRITES = ['allow', 'audit', 'fault'] as const

/** What a partition may bend (docs/profiles.md, and the simulator's own switches). */
export interface Options {
  readonly enforce_cpuid: boolean
  readonly scontrol_reset: number
  /** What a teardown write under a disabled SynIC does (docs/profiles.md, "Options"). */
  readonly disabled_write: (typeof DISABLED_WRITES)[number]
  readonly masked_blocks_messages: boolean
  readonly apicv: boolean
  readonly apic_enabled_at_reset: boolean
  readonly pages_gpa_check: boolean
  readonly compat_bugs: boolean
  /** Every GSI behaves as if an irqfd with a resampler were bound to it. */
  readonly implicit_irqfds: boolean
  /** Host posts stop after being accepted and go on by `host.step`. */
  readonly split_delivery: boolean
  /**
   * Kernel interrupt chip: none and split change what KVM accepts (kvm_set_irq_routing, kvm_irqfd_assign).
   */
  readonly irqchip: (typeof IRQCHIPS)[number]
  /**
   * Nested root: the non-nested SIMP, SIEFP and SCONTROL start enabled (Linux MSHV enables none of them
   * there).
   */
  readonly nested_root_l1_enabled: boolean
  /** CPUID leaf 0x40000003 as the guest sees it. */
  readonly cpuid: Privileges
}

export type OptionOverrides = {
  readonly [K in Exclude<keyof Options, 'cpuid'>]?: Options[K] | undefined
} & { readonly cpuid?: { readonly [K in keyof Privileges]?: number | undefined } | undefined }

/** The options in force: the caller's where given, else the default of the profile and kind. */
export function resolveOptions(name: ProfileName, kind: PartitionKind, over: OptionOverrides): Options {
  const profile = PROFILES[name]
  const cpuid = profile.microsoftRegisters ? privilegesOf(kind) : KVM_PRIVILEGES
  const defaults: Options = {
    enforce_cpuid: profile.enforceCpuid,
    scontrol_reset: profile.scontrolReset,
    disabled_write: kind === 'guest' ? 'allow' : 'audit',
    masked_blocks_messages: false,
    apicv: false,
    apic_enabled_at_reset: true,
    pages_gpa_check: true,
    compat_bugs: false,
    implicit_irqfds: true,
    split_delivery: false,
    irqchip: 'full',
    nested_root_l1_enabled: true,
    cpuid,
  }
  const given = Object.fromEntries(Object.entries(over).filter(([, value]) => value !== undefined))
  return { ...defaults, ...given, cpuid: { ...cpuid, ...over.cpuid } } as Options
}
