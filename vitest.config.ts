// Runs test/**/*.test.ts; with --coverage it also holds the core to its branch threshold.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const byFolder = fileURLToPath(new URL('scripts/coverage-by-folder.cjs', import.meta.url))

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
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
