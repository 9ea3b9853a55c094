/** The life of Linux VMBus (vmbus_drv.c): it comes and goes, its CPUs come and go, it sleeps and wakes. */
import { EBUSY } from '../hv/errno.js'
import type { Kernel } from './kernel.js'
import { allocate, free } from './memory.js'
import { vmbusRegisters } from './owners.js'
import { attach, detach, type Place, type Strand, wait } from './step.js'
import { stimerCleanupCpu, stimerDown, stimerInitCpu } from './stimer.js'
import { EVENT_PAGE, MESSAGE_PAGE, POST_PAGE, VMBUS, vmbusCleanupCpu, vmbusInitCpu } from './vmbus.js'
import { CONTACT_PAGES, type Patience, ROUND_TICKS, vmbusConnect, vmbusUnload } from './vmbus-contact.js'
import { VERSION_WIN10_V4_1 } from './vmbus-contact-state.js'
import { eventArea, flagsIn } from './vmbus-interrupt.js'

/** HV_MAX_TRIES: waits for the channels of a CPU that goes offline. */
const EVENT_WAITS = 3

/** Does the driver do anything here? On a root that is not nested it returns at once. */
function runsVmbus(kernel: Kernel): boolean {
  return kernel.config.kind !== 'root'
}

/**
 * vmbus_acpi_add and vmbus_bus_init: pages, every CPU, then the host.
 * @param patience null: there is no host to connect to
 */
export function* vmbusUp(kernel: Kernel, patience: Patience | null): Strand<number> {
  if (!runsVmbus(kernel)) return 0
  kernel.vmbusExists = true
  yield attach(VMBUS, vmbusRegisters(kernel.config.kind))
  for (const vcpu of kernel.config.vcpus) yield* allocatePages(kernel, vcpu)
  kernel.hotplug.add('vmbus')
  for (const vcpu of kernel.cpus()) yield* vmbusOnline(kernel, vcpu)
  if (patience === null) return 0
  for (const purpose of CONTACT_PAGES) yield* allocate(kernel, bootPlace(kernel), purpose)
  const errno = yield* vmbusConnect(kernel, patience)
  if (errno < 0) yield* takeDown(kernel, true)
  return errno
}

function* allocatePages(kernel: Kernel, vcpu: number): Strand {
  for (const purpose of cpuPages(kernel)) yield* allocate(kernel, { actor: VMBUS, vcpu }, purpose)
}

function cpuPages({ config }: Kernel): string[] {
  return config.paravisor === true ? [POST_PAGE] : [MESSAGE_PAGE, EVENT_PAGE, POST_PAGE]
}

function bootPlace({ bootCpu }: Kernel): Place {
  return { actor: VMBUS, vcpu: bootCpu }
}

/** vmbus_exit. 0, or what unloading came to. */
export function* vmbusDown(kernel: Kernel, patience?: Patience): Strand<number> {
  if (!kernel.vmbusExists) return 0
  yield* stimerDown(kernel)
  const errno = yield* vmbusUnload(kernel, patience)
  yield* takeDown(kernel, true)
  return errno
}

/**
 * Every CPU's part ends, and the driver with it.
 * @param entirely the module goes: its device is gone and its pages are free. Not so at kexec
 */
export function* takeDown(kernel: Kernel, entirely: boolean): Strand {
  for (const vcpu of kernel.cpus()) yield* disableCpu(kernel, vcpu)
  kernel.hotplug.delete('vmbus')
  if (entirely) {
    for (const purpose of CONTACT_PAGES) yield* free(kernel, bootPlace(kernel), purpose)
    for (const vcpu of kernel.vcpus()) {
      for (const purpose of cpuPages(kernel)) yield* free(kernel, { actor: VMBUS, vcpu }, purpose)
    }
    kernel.vmbusExists = false
  }
  yield detach(VMBUS)
}

/** hv_synic_init: a CPU comes online. */
export function* vmbusOnline(kernel: Kernel, vcpu: number): Strand {
  // A CPU that was not there when VMBus came.
  if (!kernel.hasPage(POST_PAGE, vcpu)) yield* allocatePages(kernel, vcpu)
  yield* vmbusInitCpu(kernel, vcpu)
  yield* stimerInitCpu(kernel, vcpu, 'message')
}

/** hv_synic_cleanup: a CPU goes offline, unless VMBus needs it. 0 or -EBUSY. */
export function* vmbusOffline(kernel: Kernel, vcpu: number): Strand<number> {
  if (kernel.vmbus.connected && (yield* isNeeded(kernel, vcpu))) return EBUSY
  yield* disableCpu(kernel, vcpu)
  return 0
}

function* disableCpu(kernel: Kernel, vcpu: number): Strand {
  yield* stimerCleanupCpu(kernel, vcpu, 'message')
  yield* vmbusCleanupCpu(kernel, vcpu)
}

/** The CPU that the host answers, one with a channel, or one with a channel's event that nobody has seen. */
function* isNeeded(kernel: Kernel, vcpu: number): Strand<boolean> {
  const { vmbus } = kernel
  if (vcpu === kernel.bootCpu) return true
  for (const channel of vmbus.channels.values()) if (channel.vcpu === vcpu) return true
  return vmbus.version >= VERSION_WIN10_V4_1 && (yield* hasEvents(kernel, vcpu))
}

/** hv_synic_event_pending: a channel that moved away a moment ago may still have a flag set here. */
function* hasEvents(kernel: Kernel, vcpu: number): Strand<boolean> {
  for (let waits = 0; ; waits++) {
    const flags = flagsIn(yield* eventArea(kernel, vcpu))
    if (!flags.some((flag) => flag > 0)) return false
    if (waits === EVENT_WAITS) return true
    yield wait({ actor: VMBUS, vcpu }, ROUND_TICKS)
  }
}

/** hv_synic_suspend: the other CPUs are offline by now. */
export function* vmbusSuspend(kernel: Kernel): Strand {
  yield* vmbusCleanupCpu(kernel, kernel.bootCpu)
}

/** hv_synic_resume. */
export function* vmbusResume(kernel: Kernel): Strand {
  yield* vmbusInitCpu(kernel, kernel.bootCpu)
}
