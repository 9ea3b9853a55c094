// Prints `N passed, N failed` from the report of the last test run; fails when there is none.
import { existsSync, readFileSync } from 'node:fs'

const path = new URL('../test-results/vitest.json', import.meta.url)
if (!existsSync(path)) {
  console.error('The run ended before the tests: see above.')
  process.exit(1)
}
const report = JSON.parse(readFileSync(path, 'utf8'))
/** A file that does not even load has no tests of its own to count. */
const brokenFiles = report.testResults.filter(
  (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
).length
console.log(`${report.numPassedTests} passed, ${report.numFailedTests + brokenFiles} failed`)
