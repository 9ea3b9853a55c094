/** Bounds of scenarios, so that nobody's story keeps a server busy or fills its memory. */

/** Steps of a document; what variants share counts once for each. */
export const STEPS_MAX = 10_000
/** Bytes of a document's text in a request: to read a million of YAML takes a second, and others wait. */
export const TEXT_BYTES_MAX = 512 * 1024
/** Collections of YAML within each other, and the entries that are being read. */
export const NESTING_MAX = 64
/** Problems of a document that are told. */
export const PROBLEMS_MAX = 20
/**
 * Ops that one variant may take, faults that are listed, bytes of their results, violations
 * it may report, snapshots it may take.
 */
export const OPS_MAX = 100_000
export const FAULTS_LISTED_MAX = 1000
export const RESULT_BYTES_MAX = 32 * 1024 * 1024
export const VIOLATIONS_MAX = 10_000
export const SNAPSHOTS_MAX = 16
/** Ops of a run in one turn of the loop: requests come in between. */
export const OPS_PER_TURN = 100
/** Runs that wait or are under way; runs that are remembered, and bytes of their reports and traces. */
export const RUNS_OPEN_MAX = 100
export const RUNS_KEPT_MAX = 1000
export const RUN_BYTES_MAX = 64 * 1024 * 1024
export const RUNS_BYTES_MAX = 256 * 1024 * 1024
