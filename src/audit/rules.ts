/** All rules, in the order of their invariants. */
import type { Rule } from './rule.js'
import { definedAnswers, noChangeOnRefusal } from './rules/defined-answers.js'
import { disabledWrite } from './rules/disabled-write.js'
import { duplicateEnable } from './rules/duplicate-enable.js'
import { endOfInterrupt } from './rules/end-of-interrupt.js'
import { eomVcpu } from './rules/eom-vcpu.js'
import { eventFlags } from './rules/event-flags.js'
import { foreignWrite } from './rules/foreign-write.js'
import { freshOverlay } from './rules/fresh-overlay.js'
import { gateBypassed } from './rules/gate-bypassed.js'
import { hostWrite } from './rules/host-write.js'
import { interruptGate } from './rules/interrupt-gate.js'
import { lostEdge } from './rules/lost-edge.js'
import { lostWake } from './rules/lost-wake.js'
import { messageFate } from './rules/message-fate.js'
import { messageUnread } from './rules/message-unread.js'
import { messageUnseen } from './rules/message-unseen.js'
import { offline } from './rules/offline.js'
import { pageOverlap } from './rules/page-overlap.js'
import { pageWrite } from './rules/page-write.js'
import { pausedIsStill } from './rules/paused-is-still.js'
import { progress } from './rules/progress.js'
import { resamplePairs } from './rules/resample-pairs.js'
import { resetEqualsCreation } from './rules/reset-equals-creation.js'
import { routeAgreement } from './rules/route-agreement.js'
import { rugPull } from './rules/rug-pull.js'
import { slotLeak } from './rules/slot-leak.js'
import { slotOwnership } from './rules/slot-ownership.js'
import { stalePage } from './rules/stale-page.js'
import { staleSint } from './rules/stale-sint.js'
import { staleTimer } from './rules/stale-timer.js'
import { stepAfterRelease } from './rules/step-after-release.js'
import { timeFirst } from './rules/time-first.js'
import { timerContract } from './rules/timer-contract.js'
import { timerOnMaskedSint } from './rules/timer-on-masked-sint.js'
import { timerWithoutSlot } from './rules/timer-without-slot.js'
import { timerWithoutVector } from './rules/timer-without-vector.js'
import { waitingMessage } from './rules/waiting-message.js'
import { writeUnderForeignDisable } from './rules/write-under-foreign-disable.js'
import { wrongOrder } from './rules/wrong-order.js'

export const RULES: readonly Rule[] = [
  foreignWrite,
  eventFlags,
  interruptGate,
  gateBypassed,
  lostEdge,
  endOfInterrupt,
  eomVcpu,
  lostWake,
  timerContract,
  timerOnMaskedSint,
  timerWithoutSlot,
  timerWithoutVector,
  progress,
  routeAgreement,
  resamplePairs,
  pausedIsStill,
  timeFirst,
  definedAnswers,
  noChangeOnRefusal,
  writeUnderForeignDisable,
  disabledWrite,
  rugPull,
  stepAfterRelease,
  wrongOrder,
  staleSint,
  stalePage,
  staleTimer,
  resetEqualsCreation,
  duplicateEnable,
  pageOverlap,
  pageWrite,
  freshOverlay,
  messageFate,
  messageUnread,
  messageUnseen,
  waitingMessage,
  slotLeak,
  slotOwnership,
  hostWrite,
  offline,
]
