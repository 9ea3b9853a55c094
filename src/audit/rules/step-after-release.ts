/**
 * I3, who has released takes no further step: an actor that detached, or ended with its kernel, writes no
 * register, posts and signals nothing and ends no message until it attaches again (Linux: a framebuffer's
 * last refresh over a VMBus that was unloaded, c5c3ef8d49e1).
 */
import { MSR_NAMES } from '../../hv/msrs.js'
import * as o from '../../synic/op.js'
import { ERA_OPS, Eras } from '../eras.js'
import type { Desk, Rule, Watcher } from '../rule.js'

const STEPS = [o.OP_HYPERCALL, o.OP_HV_POST_MESSAGE, o.OP_HV_SIGNAL_EVENT, o.OP_MESSAGE_COMPLETE]

class StepAfterRelease implements Watcher {
  readonly #eras: Eras

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op } = this.desk
    if (op.code !== o.OP_MSR_WRITE && !STEPS.includes(op.code)) {
      this.#eras.note()
      return this.desk.wake(this.#eras.leftCount > 0)
    }
    if (this.#eras.leftCount === 0 || op.actor === 0 || op.byHost || !this.#eras.hasLeft(op.actor)) return
    const seq = this.#eras.leftSeq(op.actor)
    const ended = seq === this.#eras.bootSeq ? 'ended with its kernel' : 'detached'
    this.desk.report({
      severity: 'error',
      other: op.actor,
      otherSeq: seq,
      text: `${this.desk.nameOf(op.actor)} ${this.#step()} after it ${ended}`,
    })
  }

  #step(): string {
    const { op } = this.desk
    if (op.code === o.OP_MSR_WRITE) return `writes ${MSR_NAMES.get(op.msr)}`
    if (op.code === o.OP_HV_POST_MESSAGE) return 'posts a message'
    if (op.code === o.OP_HV_SIGNAL_EVENT) return 'signals an event'
    return op.code === o.OP_HYPERCALL ? 'makes a hypercall' : 'completes a message'
  }
}

export const stepAfterRelease: Rule = {
  invariant: 'I3',
  rule: 'step_after_release',
  holds: 'An actor that has detached takes no step until it attaches again.',
  ops: ERA_OPS,
  registers: [],
  more: [
    {
      ops: STEPS,
      registers: ['SCONTROL', 'SIEFP', 'SIMP', 'SIRBP', 'EOM', 'SINT', 'STIMER', 'other'],
      needsActor: true,
      whileAwake: true,
    },
  ],
  watch: (desk) => new StepAfterRelease(desk),
}
