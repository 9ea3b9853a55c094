/**
 * I3, release in the reverse order of use: SCONTROL, SIMP and SIEFP go off only when no other actor
 * depends on them with an unmasked SINT, an event ring or a timer in message mode (Linux: timers stop
 * before VMBus unloads, f7ce370b525a). Where the owner of a parent's SCONTROL clears it too early,
 * `wrong_order` says so and this rule speaks of timers alone; of a guest that is but a note there.
 */
import { PAGE_ENABLE, STIMER_COUNT, STIMER_DIRECT, STIMER_ENABLE, stimerSint } from '../../hv/registers.js'
import { CONFIG } from '../../synic/layout.js'
import { OP_MSR_WRITE } from '../../synic/op.js'
import { MODEL_TLFS } from '../../synic/profile.js'
import { timerAt } from '../../synic/stimer.js'
import { dependentsOn } from '../dependents.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SCONTROL, LEDGER_SIMP } from '../ledger.js'
import { nameAt, nameOfMsr, wordAt } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { timerOf } from '../timers.js'

class RugPull implements Watcher {
  readonly #eras: Eras
  /** Who wrote a timer last, and when, by its place in the slab. */
  readonly #timers = new Map<number, { readonly actor: number; readonly seq: number }>()

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code !== OP_MSR_WRITE) return this.#eras.note()
    if (op.actor === 0 || op.byHost || !m.effects.ok) return
    const place = placeOf(op.msr)
    if (place < 0) {
      this.#timers.set(timerAt(op.file, timerOf(op.msr)), { actor: op.actor, seq: op.seq })
    } else if ((op.oldLo & PAGE_ENABLE) !== 0 && (m.w[wordAt(op.file, place)] & PAGE_ENABLE) === 0) {
      this.#judge(place)
    }
  }

  #judge(place: number): void {
    const { op, m, claims } = this.desk
    const isOwn = place === LEDGER_SCONTROL && claims.owner(op.vcpu, op.msr) === op.actor
    if (!isOwn || m.config.kind === 'guest') {
      for (const { actor, place: held, seq } of dependentsOn(this.desk, this.#eras, op.file, op.actor)) {
        this.#tell(
          actor,
          seq,
          `still has ${nameAt(m, op.file, held)} ${held > LEDGER_SIMP + 1 ? 'unmasked' : 'enabled'}`,
        )
      }
    }
    // Only the published specification has timers ask SCONTROL; none of them needs the event-flags page.
    if (place === LEDGER_SIMP || (place === LEDGER_SCONTROL && m.profile.model === MODEL_TLFS))
      this.#judgeTimers()
  }

  #judgeTimers(): void {
    const { op, m } = this.desk
    if (m.isNestedFile(op.file)) return
    for (let i = 0; i < STIMER_COUNT; i++) {
      const t = timerAt(op.file, i)
      const config = m.w[t + CONFIG]
      const owner = this.#timers.get(t)
      if ((config & (STIMER_ENABLE | STIMER_DIRECT)) !== STIMER_ENABLE || owner === undefined) continue
      if (owner.actor === op.actor || owner.seq <= this.#eras.bootSeq || this.#eras.hasLeft(owner.actor))
        continue
      this.#tell(
        owner.actor,
        owner.seq,
        `still has STIMER${i} enabled, which sends messages to SINT${stimerSint(config)}`,
      )
    }
  }

  #tell(other: number, otherSeq: number, holds: string): void {
    const [actor, name] = [this.desk.nameOf(this.desk.op.actor), this.desk.nameOf(other)]
    const register = nameOfMsr(this.desk.op.msr)
    this.desk.report({
      // In a kernel that crashes nobody waits for others.
      severity: this.desk.hasCrashed ? 'note' : 'error',
      other,
      otherSeq,
      text: `${actor} disables ${register} while ${name} ${holds}`,
    })
  }
}

export const rugPull: Rule = {
  invariant: 'I3',
  rule: 'rug_pull',
  holds: 'SCONTROL, SIMP and SIEFP are disabled only when no other actor depends on them.',
  ops: ERA_OPS,
  registers: ['SCONTROL', 'SIMP', 'SIEFP', 'STIMER'],
  needsActor: true,
  watch: (desk) => new RugPull(desk),
}
