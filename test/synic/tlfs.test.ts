/** The TLFS's message queues: what a Try does when it does not deliver. */

import { describe } from 'vitest'
import {
  advance,
  completes,
  HVMSG_TIMER,
  irq,
  MASK_SINT2,
  ONE_SHOT,
  post,
  type Scenario,
  SIMP_GPA,
  type Step,
  scenarios,
  slotFlags,
  slotHas,
  startTimer,
  UNMASK_SINT2,
  UP,
  write,
} from '../support/script.js'

/** A timer comes due behind a full slot while messages cannot be delivered. */
const dueWhile = (off: Step, on: Step): Step[] => [
  ...UP,
  post(2, 'delivered', irq()),
  ...startTimer(ONE_SHOT, 100),
  off,
  advance(100),
  on,
  slotFlags(2, '01'),
  completes(2, irq()),
  slotHas(2, HVMSG_TIMER),
]
const SIMP_OFF = write('SIMP', SIMP_GPA)
const SIMP_ON = write('SIMP', SIMP_GPA + 1)
const blocking = { profile: 'tlfs', options: { masked_blocks_messages: true } } as const

const told: Scenario[] = [
  ['while its page is disabled: the overlay keeps its content', 'tlfs', dueWhile(SIMP_OFF, SIMP_ON)],
  ['while the SynIC is disabled', 'tlfs', dueWhile(write('SCONTROL', 0), write('SCONTROL', 1))],
  ['while its SINT is masked, and that blocks messages', blocking, dueWhile(MASK_SINT2, UNMASK_SINT2)],
]

describe('a full slot is told that something waits', () => scenarios(told))

describe('an empty slot stays empty', () =>
  scenarios([
    [
      'while its page is disabled; enabling it delivers nothing, EOM does',
      'tlfs',
      [
        ...UP,
        ...startTimer(ONE_SHOT, 100),
        SIMP_OFF,
        advance(100),
        write('EOM', 0),
        SIMP_ON,
        slotHas(2, 0),
        slotFlags(2, '00'),
        write('EOM', 0, irq()),
        slotHas(2, HVMSG_TIMER),
      ],
    ],
  ]))
