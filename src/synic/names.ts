/** Names of actors and kernels by number, so that op records hold words alone. */
import { assert } from '../hv/assert.js'

export class NameTable {
  readonly #texts: string[] = ['']
  readonly #ids = new Map<string, number>([['', 0]])

  constructor(readonly max: number) {}

  /** The number of a name, given out at first use; -1 if the table is full. */
  intern(text: string): number {
    const known = this.#ids.get(text)
    if (known !== undefined) return known
    if (this.#texts.length >= this.max) return -1
    this.#ids.set(text, this.#texts.length)
    return this.#texts.push(text) - 1
  }

  /** The number a name has, or -1. */
  find(text: string): number {
    return this.#ids.get(text) ?? -1
  }

  /** How many names there are: a mark to come back to. */
  get size(): number {
    return this.#texts.length
  }

  /** Forgets the names given out since `size` was this: nothing that used them came to be. */
  truncate(size: number): void {
    for (const text of this.#texts.splice(size)) this.#ids.delete(text)
  }

  text(id: number): string {
    assert(id >= 0 && id < this.#texts.length, 'a name id comes from this table')
    return this.#texts[id]
  }

  copy(): NameTable {
    const copy = new NameTable(this.max)
    for (const text of this.#texts) copy.intern(text)
    return copy
  }
}
