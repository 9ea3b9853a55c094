/** Drivers and kernels as they come and go: recorded here for who judges them; the hardware does not care. */
import { EEXIST, EINVAL, ENOENT } from '../hv/errno.js'
import { CLAIMS_MAX } from '../hv/limits.js'
import { resetPartition } from './lifecycle.js'
import type { Machine } from './machine.js'
import type { NameTable } from './names.js'
import { BOOT_RESET, OP_ACTOR, OP_ACTOR_ATTACH, OP_ACTOR_DETACH, OP_ARGS } from './op.js'

/** `actor.attach`, `actor.detach` and `kernel.boot`. */
export function bootKernel(m: Machine, names: NameTable, code: number, words: Int32Array, at: number): void {
  const a = at + OP_ARGS
  const actor = names.text(words[at + OP_ACTOR])
  if (code === OP_ACTOR_ATTACH) attach(m, actor, words, a)
  else if (code === OP_ACTOR_DETACH) {
    if (!m.actors.delete(actor)) m.effects.fail(ENOENT)
  } else {
    m.kernel = names.text(words[a])
    // One kernel's drivers and allocator end with it; registers and memory stay, unless the machine is reset.
    m.actors.clear()
    m.pageHolders.clear()
    if (words[a + 1] === BOOT_RESET) resetPartition(m)
  }
}

function attach(m: Machine, actor: string, words: Int32Array, a: number): void {
  const count = words[a]
  if (actor === '' || count < 0 || count > CLAIMS_MAX) return m.effects.fail(EINVAL)
  if (m.actors.has(actor)) return m.effects.fail(EEXIST)
  const claims = Array.from({ length: count }, (_, i) => ({
    vcpu: words[a + 1 + 2 * i],
    msr: words[a + 2 + 2 * i],
  }))
  m.actors.set(actor, { claims })
}
