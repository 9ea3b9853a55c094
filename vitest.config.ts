// Runs test/**/*.test.ts; with --coverage it also holds the core to its branch threshold.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const byFolder = fileURLToPath(new URL('scripts/coverage-by-folder.cjs', import.meta.url))
/** No test asserts a time. These only end what hangs, so that they may be long for the slowest machine. */
const HANGS_MS = 120_000
/** Tests of layers that are pure: no state of a module can carry over, so that each is loaded once for all. */
const PURE = ['test/{synic,conformance,audit,drivers}/**/*.test.ts']

export default defineConfig({
  test: {
    globalSetup: 'test/support/build.ts',
    pool: 'forks',
    // As many as there are cores, and one more: many tests wait for sockets, timers and processes.
    maxWorkers: availableParallelism() + 1,
    testTimeout: HANGS_MS,
    hookTimeout: HANGS_MS,
    expect: { poll: { timeout: HANGS_MS } },
    projects: [
      { extends: true, test: { name: 'pure', include: PURE, isolate: false } },
      { extends: true, test: { name: 'rest', include: ['test/**/*.test.ts'], exclude: PURE } },
    ],
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
