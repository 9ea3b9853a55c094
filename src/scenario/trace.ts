/** A run as a trace file: the header that the log of a partition has too, and its ops with their results. */
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import type { ScenarioRun } from './run.js'

/** JSON lines, as `synicd replay` takes them. */
export function traceText({ report, config, trace }: ScenarioRun): string {
  const { scenario, variant } = report
  const { kind, profile, options } = config
  const header = {
    trace: variant === '' ? scenario : `${scenario}.${variant}`,
    source: 'synicd',
    profile,
    kind,
    gpa_limit: `0x${(BigInt(config.gpaPages) * BigInt(GPA_PAGE_BYTES)).toString(16)}`,
    options,
    base_seq: 0,
    description: `Scenario ${scenario}${variant === '' ? '' : `, variant ${variant}`}`,
  }
  return [header, ...trace].map((line) => `${JSON.stringify(line)}\n`).join('')
}
