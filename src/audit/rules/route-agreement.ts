/**
 * I17, routes and acknowledgements agree: an EOI or EOM notifies a GSI that the present table routes to its
 * SINT, and one in service when the table changed still gets its notification (KVM
 * kvm_hv_irq_routing_update).
 */
import { SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import { EFFECT_ACK, EFFECT_EOI, EFFECT_WORDS } from '../../synic/effects.js'
import { isRouted } from '../../synic/gsi-routes.js'
import { NESTED_FILE, SINTS, VP_INDEX } from '../../synic/layout.js'
import type { Machine } from '../../synic/machine.js'
import { sintGsi } from '../../synic/sint.js'
import { BOOK_OPS } from '../gsi-book.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { isUnacknowledged, knownReason } from '../unacknowledged.js'

class RouteAgreement implements Watcher {
  /** GSIs whose stale link was told of, and under which table: EOM after EOM notifies them again. */
  readonly #told = new Map<number, number>()

  constructor(private readonly desk: Desk) {
    desk.wake(this.#mayDisagree())
  }

  after(): void {
    const { op, gsis } = this.desk
    if (BOOK_OPS.includes(op.code)) this.desk.wake(this.#mayDisagree())
    const count = gsis.ackedCount(op.seq)
    for (let i = 0; i < count; i++) {
      // What was in service under the old table is owed its notification.
      if (gsis.ackedSeq[i] !== 0 && gsis.ackedSeq[i] < gsis.routedSeq) continue
      if (!this.#agrees(gsis.acked[i])) this.#disagree(gsis.acked[i])
    }
  }

  settled(): void {
    const { m, gsis } = this.desk
    for (const edge of gsis.edges()) {
      const { gsi } = edge
      if (edge.seq >= gsis.routedSeq || !isUnacknowledged(m, edge)) continue
      const reason = knownReason(this.desk, edge)
      this.desk.report({
        severity: reason === '' ? 'error' : 'note',
        vcpu: m.vcpuId(m.rowOfFile(edge.f)),
        other: edge.actor,
        otherSeq: edge.seq,
        text: `the routes changed under an interrupt of GSI ${gsi}, whose end told nobody${because(reason)}`,
      })
    }
  }

  /**
   * Does a SINT have a link that no present route asks for? Those that QEMU makes for itself bring theirs
   * along.
   */
  #mayDisagree(): boolean {
    const { m } = this.desk
    for (let v = 0; v < m.vcpuCount * m.stride; v += m.stride) {
      for (let sint = 0; sint < SINT_COUNT; sint++) {
        const gsi = sintGsi(m, v, sint)
        if (gsi < 0) continue
        const route = routeOf(m, gsi)
        if (route === undefined || route.vp !== m.w[v + VP_INDEX] || route.sint !== sint) return true
      }
    }
    return false
  }

  /** Does the present table send this GSI to the vCPU of the op, and with the vector that was ended? */
  #agrees(gsi: number): boolean {
    const { op, m } = this.desk
    const v = m.rowOf(op.vcpu)
    if (v < 0) return false
    const route = routeOf(m, gsi)
    if (route === undefined || m.w[v + VP_INDEX] !== route.vp) return false
    const { sint } = route
    const vector = this.#ended()
    if (vector < 0) return true
    return this.#has(v, sint, vector) || (m.nested && this.#has(v + NESTED_FILE, sint, vector))
  }

  #has(f: number, sint: number, vector: number): boolean {
    return (this.desk.m.w[f + SINTS + 2 * sint] & (SINT_VECTOR | SINT_MASKED)) === vector
  }

  /** The vector whose EOI this op was, or -1: EOM acknowledges every SINT. */
  #ended(): number {
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] === EFFECT_EOI) return words[at + 2]
    }
    return -1
  }

  #disagree(gsi: number): void {
    const { m, gsis } = this.desk
    if (this.#told.get(gsi) === gsis.routedSeq) return
    this.#told.set(gsi, gsis.routedSeq)
    this.desk.report({
      // KVM never takes back the link from a SINT to its GSI: known behaviour, and a surprise all the same.
      severity: m.profile.kvm ? 'note' : 'error',
      otherSeq: gsis.routedSeq,
      text: `GSI ${gsi} is notified, and the present table does not route it to a SINT that was acknowledged`,
    })
  }
}

/** Where the present table, or a route of QEMU's own, sends a GSI. */
function routeOf(m: Machine, gsi: number): { readonly vp: number; readonly sint: number } | undefined {
  return isRouted(m, gsi) ? { vp: m.routes[2 * gsi], sint: m.routes[2 * gsi + 1] } : m.qemuRoutes.ofGsi(gsi)
}

const because = (reason: string) => (reason === '' ? '' : `: ${reason}`)

export const routeAgreement: Rule = {
  invariant: 'I17',
  rule: 'route_agreement',
  holds:
    'What an EOI or EOM notifies is what the present table routes there, or what was in service before it.',
  ops: BOOK_OPS,
  registers: [],
  // Where every link is one of the table, an acknowledgement agrees with it.
  more: [{ effects: [EFFECT_ACK], whileAwake: true }],
  watch: (desk) => new RouteAgreement(desk),
}
