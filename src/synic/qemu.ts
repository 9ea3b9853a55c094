/**
 * QEMU's half of a SynIC: SINT routes with a staging area, and the VMM's posts and signals (QEMU
 * hw/hyperv/hyperv.c).
 */
import { EAGAIN, EINVAL, ENXIO } from '../hv/errno.js'
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import { GSI_LIMIT } from '../hv/limits.js'
import { HVMSG_NONE } from '../hv/messages.js'
import { SCONTROL_ENABLE, SINT_COUNT } from '../hv/registers.js'
import type { Source } from './effects.js'
import {
  BUSY,
  DELIVERED,
  DROPPED,
  EFFECT_DROPPED,
  EFFECT_LEFT,
  FROM_EVENT,
  FROM_MESSAGE,
  NO_SOURCE,
  QUEUED,
} from './effects.js'
import { installRoutes, isRouted } from './gsi-routes.js'
import { SCONTROL, VP_INDEX } from './layout.js'
import type { Machine } from './machine.js'
import { keep, OWNER_HOST } from './message-queue.js'
import { type Message, setFlag, setPending, slotType, writeSlot } from './message-slot.js'
import { EVENT_PAGE, eventFrame, MESSAGE_PAGE, mappedGpn, messageFrame } from './pages.js'
import type { QemuRoute } from './qemu-routes.js'
import { setIrq } from './sint.js'

/** QEMU's routes use GSIs behind the 24 pins of the I/O APIC. */
const FIRST_FREE_GSI = 24

/** The implicit route of a SINT (hyperv_sint_route_new at its first use). */
function routeOf(m: Machine, f: number, sint: number): QemuRoute {
  const key = m.queueKey(f, sint)
  const known = m.qemuRoutes.get(key)
  if (known !== undefined) return known
  const enabled = (m.w[f + SCONTROL] & SCONTROL_ENABLE) !== 0
  const gsi = enabled ? lowestFreeGsi(m) : -1
  const vp = m.w[f + VP_INDEX]
  const route: QemuRoute = { f, vp, sint, gsi, staged: null, scheduled: false }
  m.qemuRoutes.set(key, route)
  if (gsi >= 0) installRoutes(m)
  return route
}

function lowestFreeGsi(m: Machine): number {
  for (let gsi = FIRST_FREE_GSI; gsi < GSI_LIMIT; gsi++) {
    if (!isRouted(m, gsi) && m.qemuRoutes.ofGsi(gsi) === undefined) return gsi
  }
  return -1
}

/** hyperv_sint_route_set_sint: write the irqfd. What KVM makes of the edge is never learnt. */
function setSint(m: Machine, route: QemuRoute, source: Source): void {
  if (route.gsi >= 0) setIrq(m, route.vp, route.sint, source)
}

/**
 * The vCPU's own work on a staged message (cpu_post_msg): 0, -EAGAIN on a full slot, -ENXIO without a page.
 */
function attempt(m: Machine, route: QemuRoute, message: Message): number {
  if (mappedGpn(m, route.f, MESSAGE_PAGE) < 0) {
    const vcpu = m.vcpuId(m.rowOfFile(route.f))
    m.effects.push(EFFECT_DROPPED, vcpu, m.sintWord(route.f, route.sint, FROM_MESSAGE), ENXIO)
    return ENXIO
  }
  const frame = messageFrame(m, route.f)
  if (slotType(m, frame, route.sint) !== HVMSG_NONE) {
    setPending(m, frame, route.sint, false)
    return EAGAIN
  }
  writeSlot(m, route.f, frame, route.sint, message, FROM_MESSAGE, true, false)
  setSint(m, route, FROM_MESSAGE)
  return 0
}

/** The resample eventfd was signalled: only a posted message has something to complete. */
export function completeOnAck(m: Machine, route: QemuRoute): void {
  if (route.staged === null || route.scheduled) return
  route.scheduled = true
  m.bottomHalves.push(route)
}

/** Settle step 3: completions, first in first out. An originator told to try again posts the same message. */
export function runBottomHalves(m: Machine): void {
  for (let route = m.bottomHalves.shift(); route !== undefined; route = m.bottomHalves.shift()) {
    route.scheduled = false
    const { staged } = route
    if (staged === null) continue
    const status = attempt(m, route, staged)
    if (status === EAGAIN) continue
    route.staged = null
    m.effects.push(EFFECT_LEFT, staged.ticket, status === 0 ? FROM_MESSAGE : NO_SOURCE)
  }
}

/**
 * `post_msg` on the implicit route; 0, or -EAGAIN while the staging area is in use: its depth is exactly one.
 */
export function postRoute(m: Machine, f: number, sint: number, message: Message): number {
  const route = routeOf(m, f, sint)
  if (route.staged !== null) {
    m.effects.setDelivery(BUSY)
    return EAGAIN
  }
  const status = attempt(m, route, message)
  // Waits for an acknowledgement; a route without GSI waits for ever.
  if (status === EAGAIN) route.staged = keep(m, message, OWNER_HOST, FROM_MESSAGE)
  m.effects.setDelivery(status === 0 ? DELIVERED : status === EAGAIN ? QUEUED : DROPPED)
  return 0
}

/** `message.post`: what the staging area answers; a missing message page is told by its callback. */
export function postQemu(m: Machine, f: number, sint: number, message: Message): void {
  const result = postRoute(m, f, sint, message)
  if (result !== 0) m.effects.fail(result)
  else if (m.effects.delivery === DROPPED) m.effects.fail(ENXIO)
}

/** hyperv_set_event_flag; 0 or a negative errno. */
export function signalQemu(m: Machine, f: number, sint: number, flag: number): number {
  const { w } = m
  // QEMU's own check is `> 2048`: one too many, which lands in the next SINT's area.
  if (flag > FLAGS_PER_SINT || (flag === FLAGS_PER_SINT && !m.options.compat_bugs)) return EINVAL
  const route = routeOf(m, f, sint)
  if ((w[f + SCONTROL] & SCONTROL_ENABLE) === 0 || mappedGpn(m, f, EVENT_PAGE) < 0) return ENXIO
  const beyond = flag === FLAGS_PER_SINT
  if (beyond && sint === SINT_COUNT - 1) return 0
  const newly = setFlag(m, f, eventFrame(m, f), beyond ? sint + 1 : sint, beyond ? 0 : flag)
  m.effects.value(newly ? 1 : 0, 0)
  if (newly) setSint(m, route, FROM_EVENT)
  return 0
}

/** System reset: devices drop their routes first; KVM's links from SINT to GSI stay. */
export function dropRoutes(m: Machine): void {
  m.qemuRoutes.clear()
  m.bottomHalves.length = 0
}
