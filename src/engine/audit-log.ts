/** The auditor of one partition, and what it found: kept up to a bound, counted beyond. */
import { type AuditMode, type Violation as ViolationView, violationView } from '../api/violation.js'
import { Auditor } from '../audit/auditor.js'
import { relive } from '../audit/relive.js'
import type { Violation } from '../audit/rule.js'
import type { Effects } from '../synic/effects.js'
import { OP_ACTOR, OP_CODE, OP_VCPU_CREATE } from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import type { Journal } from './journal.js'

const NOTHING: readonly Violation[] = []
/** Some ten milliseconds of the loop. */
const RELIVED_OPS_MAX = 16_384

export class AuditLog {
  /** Oldest first; those of the newest ops if there were too many. */
  readonly kept: Violation[] = []
  /** Found since the partition was made, kept or not. */
  total = 0
  /** Made at the first op that is looked at: most partitions of a large fleet never see one. */
  #auditor: Auditor | null = null

  constructor(
    readonly mode: AuditMode,
    private readonly partition: Partition,
    private readonly keptMax: number,
  ) {}

  /**
   * Of a fork: learns what the auditor of its source knows, if the log still holds all that led there, and is
   * no longer than can be gone through at once.
   */
  learnFrom(source: AuditLog, journal: Journal): void {
    const { firstSeq, lastSeq } = journal
    if (source.#auditor === null || firstSeq !== 1 || lastSeq > RELIVED_OPS_MAX) return
    const { partition } = this
    this.#auditor = relive(partition, journal.entries(1, lastSeq), () => new Auditor(partition))
  }

  before(words: Int32Array, at: number): void {
    if (this.mode === 'off') return
    if (this.#auditor === null) {
      // vCPUs come with every partition, and nothing about that is judged; but who makes one is there.
      if ((words[at] & OP_CODE) === OP_VCPU_CREATE && words[at + OP_ACTOR] === 0) return
      this.#auditor = new Auditor(this.partition)
    }
    this.#auditor.before(words, at)
  }

  /** What was found in the op just applied. The list holds until the next op. */
  after(): readonly Violation[] {
    const auditor = this.#auditor
    if (auditor === null) return NOTHING
    auditor.after()
    const { found } = auditor
    if (found.length > 0) this.#keep(found)
    return found
  }

  /** What breaks if nothing were still to come. Not kept: it may be mended by the next op. */
  settle(): readonly Violation[] {
    return this.#auditor?.settle() ?? NOTHING
  }

  /**
   * Those with numbers above `after` that fit, oldest first; numbers count from 1, and `next` is the last
   * number of this page if there are more.
   */
  page(
    after: number,
    limit: number,
    fits: (violation: Violation) => boolean,
  ): { items: Violation[]; next: number | undefined } {
    const items: Violation[] = []
    const forgotten = this.total - this.kept.length
    let last = after
    for (let i = Math.max(0, after - forgotten); i < this.kept.length; i++) {
      if (!fits(this.kept[i])) continue
      if (items.length === limit) return { items, next: last }
      items.push(this.kept[i])
      last = forgotten + i + 1
    }
    return { items, next: undefined }
  }

  #keep(found: readonly Violation[]): void {
    this.total += found.length
    this.kept.push(...found)
    // Forgotten in blocks: a shift for each would move the whole list.
    if (this.kept.length > 2 * this.keptMax) this.kept.splice(0, this.kept.length - this.keptMax)
  }
}

/**
 * Adds to a result what was found, where it speaks of actors: ops that name nobody are answered as the
 * hardware does, whoever watches.
 */
export function tellViolations(effects: Effects, found: readonly Violation[]): void {
  const told = found.filter(({ actor, rule }) => actor !== '' || rule === 'disabled_write')
  if (told.length > 0) effects.tellViolations(JSON.stringify(told.map(memberOfResult)))
}

/** A result's op has its seq already. */
function memberOfResult(violation: Violation): Omit<ViolationView, 'seq'> {
  const { seq: _seq, ...members } = violationView(violation)
  return members
}
