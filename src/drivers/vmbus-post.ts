/** VMBus speaking to its host: channel messages by HvPostMessage, with patience, and channel signals. */
import { EAGAIN, EINVAL } from '../hv/errno.js'
import {
  HV_INSUFFICIENT_BUFFERS,
  HV_INSUFFICIENT_MEMORY,
  HV_INVALID_CONNECTION_ID,
  HV_SUCCESS,
} from '../hv/hypercalls.js'
import { HAS_STATUS } from '../synic/effects.js'
import type { Kernel } from './kernel.js'
import { hvPost, hvSignal, type Place, type Strand, wait } from './step.js'
import { VMBUS } from './vmbus.js'

const ENOBUFS = -105
export const TICKS_PER_MICROSECOND = 10
/** VMBus's message type in the hypervisor's header. */
export const VMBUS_MESSAGE = 1
const POST_ATTEMPTS_MAX = 100
/** The delay doubles until this attempt has failed. */
const DOUBLINGS = 21

/** First u32 of a channel message (enum vmbus_channel_message_type). */
export const CHANNELMSG = {
  OFFER: 1,
  RESCIND: 2,
  REQUEST_OFFERS: 3,
  ALL_OFFERS_DELIVERED: 4,
  OPEN: 5,
  OPEN_RESULT: 6,
  CLOSE: 7,
  GPADL_HEADER: 8,
  GPADL_BODY: 9,
  GPADL_CREATED: 10,
  GPADL_TEARDOWN: 11,
  GPADL_TORNDOWN: 12,
  RELID_RELEASED: 13,
  INITIATE_CONTACT: 14,
  VERSION_RESPONSE: 15,
  UNLOAD: 16,
  UNLOAD_RESPONSE: 17,
} as const

/**
 * vmbus_post_msg: 0, or a negative errno. A host that takes the message without a status, because user space
 * answers in the hypervisor's place, has taken it.
 */
export function* postChannelMessage(kernel: Kernel, vcpu: number, payload: Uint8Array): Strand<number> {
  const at: Place = { actor: VMBUS, vcpu }
  const contact = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)
  let delay = TICKS_PER_MICROSECOND
  let errno = EAGAIN
  for (let failed = 1; failed <= POST_ATTEMPTS_MAX; failed++) {
    const effects = yield hvPost(at, kernel.vmbus.connection, VMBUS_MESSAGE, payload)
    if (!effects.ok) return EINVAL
    switch ((effects.has & HAS_STATUS) === 0 ? HV_SUCCESS : effects.status) {
      case HV_SUCCESS:
        return 0
      case HV_INVALID_CONNECTION_ID:
        // A host that does not know protocol 5.0 has no such connection: an older one is tried.
        if (contact === CHANNELMSG.INITIATE_CONTACT) return EINVAL
        errno = EAGAIN
        break
      case HV_INSUFFICIENT_MEMORY:
      case HV_INSUFFICIENT_BUFFERS:
        errno = ENOBUFS
        break
      default:
        return EINVAL
    }
    yield wait(at, delay)
    if (failed <= DOUBLINGS) delay *= 2
  }
  return errno
}

/** vmbus_set_event; nobody looks at the status. */
export function* signalChannel(kernel: Kernel, vcpu: number, relid: number): Strand {
  const channel = kernel.vmbus.channels.get(relid)
  if (channel !== undefined) yield hvSignal({ actor: VMBUS, vcpu }, channel.connection)
}
