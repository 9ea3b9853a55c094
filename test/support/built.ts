/** What ships, for tests that run it: plain Node starts it in a quarter of the time that TypeScript takes. */
import { join } from 'node:path'
import { inject } from 'vitest'

/** Throws where dist is not what the sources say. */
export function requireBuilt(): void {
  const why = inject('notBuilt')
  if (why !== '') throw new Error(`dist is old, and cannot be built: ${why}`)
}

/** A path below dist. */
export function built(...path: string[]): string {
  requireBuilt()
  return join(import.meta.dirname, '../../dist', ...path)
}

/** The command. */
export const MAIN = built('src/cli/main.js')
