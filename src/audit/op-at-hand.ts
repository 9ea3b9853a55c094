/** The op that rules are asked about, as its record and the auditor have it. */
import * as o from '../synic/op.js'
import type { OpView } from './rule.js'

/** What rules find at hand when liveness is judged: no op, no vCPU, nobody. */
export const NO_OP = new Int32Array(o.OP_ARGS + 3)
NO_OP[o.OP_VCPU] = -1

/** The op at hand; rules see it through the read-only OpView. What its record says is read there. */
export class OpAtHand implements OpView {
  code = 0
  seq = 0
  words: Int32Array = NO_OP
  at = 0
  msr = -1
  file = -1
  oldLo = 0
  oldHi = 0

  get vcpu(): number {
    return this.words[this.at + o.OP_VCPU]
  }

  get actor(): number {
    return this.words[this.at + o.OP_ACTOR]
  }

  get byHost(): boolean {
    return (this.words[this.at] & o.OP_BY_HOST) !== 0
  }

  get newLo(): number {
    return this.words[this.at + o.OP_ARGS + 1]
  }

  get newHi(): number {
    return this.words[this.at + o.OP_ARGS + 2]
  }
}
