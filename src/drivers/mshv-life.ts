/** The life of Linux MSHV: its module comes and goes, its CPUs come and go, and the machine restarts. */
import type { Kernel } from './kernel.js'
import { allocate, free } from './memory.js'
import { type FailsAt, isRoot, MSHV, mshvBringsRing, mshvExitCpu, mshvInitCpu, RING_PAGE } from './mshv.js'
import type { MshvVersion } from './mshv-state.js'
import { mshvRegisters } from './owners.js'
import { attach, detach, type Place, type Strand } from './step.js'

/** On whose restart MSHV lets go of the SynIC (mshv_reboot_notify). */
export type Notifier = 'root-only' | 'every-parent'

/** Parent partitions only. */
function runsMshv(kernel: Kernel): boolean {
  return kernel.config.kind !== 'guest'
}

/** The module is loaded: every online CPU. 0, or what stopped it; CPUs that were set up are then undone. */
export function* mshvUp(kernel: Kernel, version: MshvVersion, failsAt?: FailsAt): Strand<number> {
  if (!runsMshv(kernel)) return 0
  kernel.mshv.version = version
  yield attach(MSHV, mshvRegisters(kernel.config.kind))
  kernel.hotplug.add('mshv')
  const done: number[] = []
  for (const vcpu of kernel.cpus()) {
    const errno = yield* mshvOnline(kernel, vcpu, failsAt)
    if (errno < 0) {
      // The hotplug core undoes a failed installation CPU by CPU, in ascending order like any removal.
      for (const other of done) yield* mshvOffline(kernel, other)
      yield* end(kernel)
      return errno
    }
    done.push(vcpu)
  }
  return 0
}

/** rmmod mshv. */
export function* mshvDown(kernel: Kernel): Strand {
  if (kernel.mshv.version === null) return
  for (const vcpu of kernel.cpus()) yield* mshvOffline(kernel, vcpu)
  yield* end(kernel)
}

function* end(kernel: Kernel): Strand {
  kernel.mshv.version = null
  kernel.hotplug.delete('mshv')
  yield detach(MSHV)
}

/** The reboot notifier: what rmmod does to the CPUs, if this version does it on this kind of partition. */
export function* mshvReboot(kernel: Kernel, notifier?: Notifier): Strand {
  const { version } = kernel.mshv
  if (version === null) return
  const isOld = version === 'pre-series' || version === 'v1-patch-4'
  const who = notifier ?? (isOld ? 'root-only' : 'every-parent')
  if (who === 'every-parent' || isRoot(kernel.config.kind)) yield* mshvDown(kernel)
}

/** A CPU comes online: 0 or a negative errno. */
export function* mshvOnline(kernel: Kernel, vcpu: number, failsAt?: FailsAt): Strand<number> {
  const { version } = kernel.mshv
  if (version === null) return 0
  const at: Place = { actor: MSHV, vcpu }
  // A page is asked for last of all, so a failure before or at that point takes none.
  const brings = mshvBringsRing(kernel, version) && failsAt === undefined
  if (brings) yield* allocate(kernel, at, RING_PAGE)
  return yield* mshvInitCpu(kernel, vcpu, version, failsAt)
}

/** A CPU goes offline. */
export function* mshvOffline(kernel: Kernel, vcpu: number): Strand {
  const { version } = kernel.mshv
  if (version === null) return
  yield* mshvExitCpu(kernel, vcpu, version)
  yield* free(kernel, { actor: MSHV, vcpu }, RING_PAGE)
}
