/** I3: a driver that has detached, or whose kernel ended, does nothing more until it attaches again. */
import { expect, it } from 'vitest'
import { stepAfterRelease } from '../../src/audit/rules/step-after-release.js'
import { audited } from '../support/audited.js'

it.each([
  ['a register', ['attach SINT2 by a', 'detach by a', 'v0 a SINT2=0xf3'], ['step_after_release a 40000092']],
  ['a signal', ['attach by fb', 'detach by fb', 'hc v0 signal c9 by fb'], ['step_after_release fb']],
  ['a post', ['attach by a', 'detach by a', 'hc v0 post c1 t=1 by a'], ['step_after_release a']],
  ['a message completed', ['attach by a', 'detach by a', 'done v0 s2 by a'], ['step_after_release a']],
  ['EOM', ['attach by a', 'detach by a', 'v0 a EOM=0'], ['step_after_release a 40000084']],
  ['after its kernel', ['attach by a', 'boot K2', 'v0 a SIMP=0'], ['step_after_release a 40000083']],
  ['attached again', ['attach by a', 'detach by a', 'attach by a', 'v0 a SIMP=0'], []],
  ['attached to the next kernel', ['attach by a', 'boot K2', 'attach by a', 'v0 a SIMP=0'], []],
  ['somebody else', ['attach by a', 'detach by a', 'v0 b SIMP=0'], []],
  ['who never attached cannot leave', ['v0 a SIMP=0', 'boot K2', 'v0 a SIMP=0'], []],
  ['reading is free', ['attach by a', 'detach by a', 'v0 a SIMP?'], []],
  [
    'who never attached may signal when another has gone: the connection may be its own',
    ['v0 vmbus SIMP=0x10001 SCONTROL=1', 'v0 vmbus SIMP=0 SCONTROL=0', 'hc v0 signal c9 by fb'],
    [],
  ],
  ['a detach that was refused', ['detach by a', 'v0 a SIMP=0'], []],
] as const)('%s', (_why, lines, expected) => {
  const m = audited({ profile: 'tlfs' }, stepAfterRelease).run(...lines)
  expect(m.said()).toEqual(expected)
})
