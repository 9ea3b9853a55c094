/** One interrupt of a Linux CPU, from taking it to its deferred work (sysvec_hyperv_callback, _stimer0). */
import type { Kernel } from './kernel.js'
import { mshvIsr } from './mshv-interrupt.js'
import { endInterrupt, type Place, type Strand, takeInterrupt } from './step.js'
import { STIMER, STIMER_VECTOR, stimerExpired } from './stimer.js'
import { CALLBACK_VECTOR, VMBUS } from './vmbus.js'
import { vmbusIsr } from './vmbus-interrupt.js'
import { vmbusTasklet } from './vmbus-messages.js'

/** Who has a handler behind the callback vector; who is installed has, unless told otherwise. */
export interface Handlers {
  readonly mshv: boolean
  readonly vmbus: boolean
}

/** The vector that was taken, or -1. */
export function* interrupt(kernel: Kernel, vcpu: number, handlers?: Handlers): Strand<number> {
  const { mshv, vmbus } = handlers ?? { mshv: kernel.mshv.version !== null, vmbus: kernel.vmbusExists }
  const { vector } = yield takeInterrupt({ actor: vmbus ? VMBUS : 'linux', vcpu })
  if (vector < 0) return vector
  if (vector !== CALLBACK_VECTOR) {
    if (vector === STIMER_VECTOR) yield* stimerExpired(kernel, vcpu)
    const at: Place = { actor: vector === STIMER_VECTOR ? STIMER : 'linux', vcpu }
    yield endInterrupt(at)
    return vector
  }
  if (mshv) yield* mshvIsr(kernel, vcpu)
  const tasklet = vmbus && (yield* vmbusIsr(kernel, vcpu))
  // With auto-EOI the interrupt ended when it was taken.
  if (kernel.config.deprecatesAutoEoi) yield endInterrupt({ actor: vmbus ? VMBUS : 'linux', vcpu })
  if (tasklet) yield* vmbusTasklet(kernel, vcpu)
  return vector
}
