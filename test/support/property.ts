/** Checks properties with a seed that stays: a run turns red for what was changed, never by chance. */
import fc from 'fast-check'

/** `npm run fuzz` looks with other seeds, and longer. */
const SEED = Number(process.env.FUZZ_SEED ?? 20)
const TIMES = Number(process.env.FUZZ_TIMES ?? 1)

/** Fails with the smallest counterexample it comes to. */
export function holds<T>(property: fc.IAsyncProperty<T>, runs?: number): Promise<void>
export function holds<T>(property: fc.IProperty<T>, runs?: number): void
export function holds<T>(property: fc.IRawProperty<T>, runs = 100): Promise<void> | void {
  return fc.assert(property, { seed: SEED, numRuns: runs * TIMES })
}
