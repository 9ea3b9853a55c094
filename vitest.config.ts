// Runs test/**/*.test.ts; with --coverage it also holds the core to its branch threshold.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const byFolder = fileURLToPath(new URL('scripts/coverage-by-folder.cjs', import.meta.url))
/** No test asserts a time. These only end what hangs, so that they may be long for the slowest machine. */
const HANGS_MS = 120_000

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/build.ts',
    pool: 'forks',
    // As many as there are cores, and one more: many tests wait for sockets, timers and processes.
    maxWorkers: availableParallelism() + 1,
    testTimeout: HANGS_MS,
    hookTimeout: HANGS_MS,
    expect: { poll: { timeout: HANGS_MS } },
    reporters: ['default', 'json'],
    outputFile: { json: 'test-results/vitest.json' },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'routes/**/*.ts'],
      reporter: ['text-summary', byFolder],
      thresholds: { 'src/synic/**': { branches: 95 } },
    },
  },
})
