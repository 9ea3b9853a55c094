/** What the Linux drivers do, by the names that scenario files use. */
import { DOORBELL_ANY_VALUE } from '../hv/hypercalls.js'
import { hypervCleanup, hypervCleanupCpu, hypervInit, hypervInitCpu } from './hyperv.js'
import { type Handlers, interrupt } from './interrupt.js'
import type { Kernel } from './kernel.js'
import * as linux from './linux.js'
import { type FailsAt, mshvExitCpu, mshvInitCpu } from './mshv.js'
import { registerDoorbell, unregisterDoorbell } from './mshv-doorbell.js'
import { mshvReboot, mshvUp, type Notifier } from './mshv-life.js'
import { MSHV_VERSIONS, type MshvVersion } from './mshv-state.js'
import type { Strand } from './step.js'
import { stimerArm, stimerOneShot, stimerShutdown } from './stimer.js'
import { vmbusCleanupCpu, vmbusInitCpu } from './vmbus.js'
import { PATIENCE, type Patience, vmbusConnect, vmbusCrashUnload, vmbusUnload } from './vmbus-contact.js'
import * as life from './vmbus-life.js'
import { signalChannel } from './vmbus-post.js'

/** What a scenario says about a procedure: plain data. `vcpus` are those it acts on, ascending. */
export interface Params {
  readonly vcpus: readonly number[]
  readonly [name: string]: unknown
}

/**
 * What a procedure does with `vcpus`: it acts on `each` of them in turn, or on `one`. As a `boot` it acts on
 * all that its kernel has, and they say which those are. As `none` it has no choice.
 */
export type VcpuChoice = 'each' | 'one' | 'boot' | 'none'

/**
 * Its result is 0 or a negative errno where it can fail: -16 busy, -14 a page could not be mapped, -110 no
 * answer.
 */
export type Procedure = ((kernel: Kernel, params: Params) => Strand<unknown>) & {
  /** One line for people. */
  readonly says: string
  readonly chooses: VcpuChoice
}

type Run = (kernel: Kernel, params: Params) => Strand<unknown>
type RunOn = (kernel: Kernel, vcpu: number, params: Params) => Strand<unknown>

/** On every CPU of its kernel, or where its driver does it: nobody chooses. */
function kernelWide(says: string, run: Run): Procedure {
  return Object.assign(run, { says, chooses: 'none' as const })
}

/** The same, where a kernel may begin. */
function boot(says: string, run: Run): Procedure {
  return Object.assign(run, { says, chooses: 'boot' as const })
}

/** On one vCPU: the first unless another is named. */
function oneCpu(says: string, run: RunOn): Procedure {
  const onFirst: Run = (kernel, params) => run(kernel, params.vcpus[0], params)
  return Object.assign(onFirst, { says, chooses: 'one' as const })
}

/** The same for each vCPU that is named, one after another; stops at the first that fails. */
function eachCpu(says: string, run: RunOn): Procedure {
  const onEach: Run = function* (kernel, params) {
    for (const vcpu of params.vcpus) {
      const result = yield* run(kernel, vcpu, params)
      if (typeof result === 'number' && result < 0) return result
    }
    return 0
  }
  return Object.assign(onEach, { says, chooses: 'each' as const })
}

/** A CPU without an interrupt is no failure: the next one is asked all the same. */
function interrupts(says: string, handlers?: Handlers): Procedure {
  return eachCpu(says, function* (kernel, vcpu) {
    yield* interrupt(kernel, vcpu, handlers)
  })
}

function numberOf(params: Params, name: string, otherwise: number): number {
  const value = params[name]
  return typeof value === 'number' ? value : otherwise
}

function textOf(params: Params, name: string, otherwise: string): string {
  const value = params[name]
  return typeof value === 'string' ? value : otherwise
}

function oneOf<T>(params: Params, name: string, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === params[name])
}

/** `version`: MSHV's; the one that is loaded unless said, and without any the merged one. */
function versionOf({ mshv }: Kernel, params: Params): MshvVersion {
  return oneOf(params, 'version', MSHV_VERSIONS) ?? mshv.version ?? 'v4'
}

/** `fails_at`: the page that cannot be mapped. */
function failsAt(params: Params): FailsAt | undefined {
  return oneOf<FailsAt>(params, 'fails_at', [1, 2, 3])
}

/** `rounds` of 10 ms for an answer; `takes_interrupts: false` where another strand takes them. */
function patienceOf(params: Params): Patience {
  return {
    rounds: numberOf(params, 'rounds', PATIENCE.rounds),
    takesInterrupts: params.takes_interrupts !== false,
  }
}

/** `skip_release`: true, `mshv` or `vmbus`. */
function skipOf(params: Params): linux.Faults {
  const skipRelease = oneOf<boolean | 'mshv' | 'vmbus'>(params, 'skip_release', [true, 'mshv', 'vmbus'])
  return skipRelease === undefined ? {} : { skipRelease }
}

/** `notifier`: on whose restart MSHV lets go; as its version has it unless said. */
function notifierOf(params: Params): Notifier | undefined {
  return oneOf<Notifier>(params, 'notifier', ['root-only', 'every-parent'])
}

function faultsOf(params: Params): linux.Faults {
  const notifier = notifierOf(params)
  return { ...skipOf(params), ...(notifier === undefined ? {} : { notifier }) }
}

/** `version` null: no MSHV; `host`: somebody answers VMBus; `mshv_first`: the wrong load order. */
function bootOf(kernel: Kernel, params: Params): linux.BootOptions {
  return {
    mshv: params.version === null ? null : versionOf(kernel, params),
    host: params.host === true ? patienceOf(params) : null,
    mshvFirst: params.mshv_first === true,
  }
}

/** `next`: the next kernel's name; `goes_on`: without the answer that Linux would wait for. */
function kexecOf(params: Params): linux.KexecOptions {
  return {
    next: textOf(params, 'next', 'linux-2'),
    patience: patienceOf(params),
    goesOnUnanswered: params.goes_on === true,
    faults: faultsOf(params),
  }
}

const VMBUS_PROCEDURES: Readonly<Record<string, Procedure>> = {
  'vmbus.up': boot('VMBus starts: pages, every CPU, and with `host` the contact', (kernel, params) =>
    life.vmbusUp(kernel, params.host === true ? patienceOf(params) : null),
  ),
  'vmbus.down': kernelWide('The VMBus module is removed', (kernel, params) =>
    life.vmbusDown(kernel, patienceOf(params)),
  ),
  'vmbus.init_cpu': eachCpu('VMBus writes the SynIC registers of a CPU that comes', vmbusInitCpu),
  'vmbus.cleanup_cpu': eachCpu('VMBus writes the SynIC registers of a CPU that goes', vmbusCleanupCpu),
  'vmbus.online': eachCpu('VMBus starts on a CPU, its message-mode timer with it', life.vmbusOnline),
  'vmbus.offline': eachCpu('VMBus leaves a CPU, unless it is busy there', life.vmbusOffline),
  'vmbus.interrupt': interrupts('A CPU takes an interrupt; only VMBus has a handler', {
    mshv: false,
    vmbus: true,
  }),
  'vmbus.connect': kernelWide('VMBus meets its host and asks for offers', (kernel, params) =>
    vmbusConnect(kernel, patienceOf(params)),
  ),
  'vmbus.unload': kernelWide('VMBus posts UNLOAD and waits for the answer', (kernel, params) =>
    vmbusUnload(kernel, patienceOf(params)),
  ),
  'vmbus.crash_unload': oneCpu('The same while crashing: slots are polled', (kernel, vcpu, params) =>
    vmbusCrashUnload(kernel, vcpu, numberOf(params, 'rounds', PATIENCE.rounds)),
  ),
  'vmbus.signal': eachCpu('A channel signals its host; `relid` says which', (kernel, vcpu, params) =>
    signalChannel(kernel, vcpu, numberOf(params, 'relid', 0)),
  ),
  'vmbus.suspend': kernelWide('The machine goes to sleep, on CPU 0 alone', life.vmbusSuspend),
  'vmbus.resume': kernelWide('The machine wakes up', life.vmbusResume),
}

const MSHV_PROCEDURES: Readonly<Record<string, Procedure>> = {
  'mshv.up': boot('The MSHV module is loaded', (kernel, params) =>
    mshvUp(kernel, versionOf(kernel, params), failsAt(params)),
  ),
  'mshv.down': kernelWide('The MSHV module is removed', (kernel, params) =>
    linux.linuxRemoveMshv(kernel, skipOf(params)),
  ),
  'mshv.reboot': kernelWide('MSHV hears that the machine restarts', (kernel, params) =>
    mshvReboot(kernel, notifierOf(params)),
  ),
  'mshv.init_cpu': eachCpu('MSHV writes the SynIC registers of a CPU that comes', (kernel, vcpu, params) =>
    mshvInitCpu(kernel, vcpu, versionOf(kernel, params), failsAt(params)),
  ),
  'mshv.exit_cpu': eachCpu('MSHV writes the SynIC registers of a CPU that goes', (kernel, vcpu, params) =>
    mshvExitCpu(kernel, vcpu, versionOf(kernel, params)),
  ),
  'mshv.interrupt': interrupts('A CPU takes an interrupt; only MSHV has a handler', {
    mshv: true,
    vmbus: false,
  }),
  'mshv.register_doorbell': oneCpu('A doorbell is set up at `gpa`', (kernel, vcpu, params) =>
    registerDoorbell(kernel, vcpu, {
      gpa: numberOf(params, 'gpa', 0),
      value: numberOf(params, 'value', 0),
      flags: numberOf(params, 'flags', DOORBELL_ANY_VALUE),
    }),
  ),
  'mshv.unregister_doorbell': oneCpu('The doorbell `id` is taken down', (kernel, vcpu, params) =>
    unregisterDoorbell(kernel, vcpu, numberOf(params, 'id', 0)),
  ),
}

const KERNEL_PROCEDURES: Readonly<Record<string, Procedure>> = {
  'stimer.one_shot': eachCpu('STIMER0 becomes a one-shot timer', stimerOneShot),
  'stimer.arm': eachCpu('STIMER0 is set to expire in `ticks`', (_kernel, vcpu, params) =>
    stimerArm(vcpu, numberOf(params, 'ticks', 10_000)),
  ),
  'stimer.shutdown': eachCpu('STIMER0 is stopped', (_kernel, vcpu) => stimerShutdown(vcpu)),
  'hyperv.init': boot('The boot CPU sets up hypercalls and the TSC page', hypervInit),
  'hyperv.init_cpu': eachCpu('A CPU gets its VP assist page', hypervInitCpu),
  'hyperv.cleanup_cpu': eachCpu('A CPU gives its VP assist page up', hypervCleanupCpu),
  'hyperv.cleanup': oneCpu('Guest id, hypercalls and TSC page end', (_kernel, vcpu) => hypervCleanup(vcpu)),
  'linux.boot': boot('Linux boots, with MSHV unless `version` is null', (kernel, params) =>
    linux.linuxBoot(kernel, bootOf(kernel, params)),
  ),
  'linux.kexec': kernelWide('Linux ends and hands over to the next kernel', (kernel, params) =>
    linux.linuxKexec(kernel, kexecOf(params)),
  ),
  'linux.crash': oneCpu('Linux crashes on a CPU; a crash kernel follows', (kernel, vcpu, params) =>
    linux.linuxCrash(kernel, vcpu, {
      next: textOf(params, 'next', 'kdump'),
      rounds: numberOf(params, 'rounds', PATIENCE.rounds),
    }),
  ),
  'linux.interrupt': interrupts('A CPU takes an interrupt; whoever is installed handles it'),
  'linux.offline': eachCpu(
    'A CPU is taken offline: who was loaded last leaves first',
    (kernel, vcpu, params) => linux.linuxOffline(kernel, vcpu, skipOf(params)),
  ),
  'linux.online': eachCpu('A CPU comes back: who was loaded first starts first', linux.linuxOnline),
}

export const PROCEDURES: Readonly<Record<string, Procedure>> = {
  ...VMBUS_PROCEDURES,
  ...MSHV_PROCEDURES,
  ...KERNEL_PROCEDURES,
}
