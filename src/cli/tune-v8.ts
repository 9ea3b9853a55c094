/** How V8 compiles and collects what runs all the time (ADR 7, ADR 9). */
import { setFlagsFromString } from 'node:v8'

/**
 * Bytes of bytecode that one function may draw in from others; V8 stops at 920. A batch is one loop over ops
 * of many kinds, whose parts are small functions: at 920 it depends on chance which of them stay calls.
 */
const INLINED_BYTES_MAX = 5000

/**
 * How much the heap may grow before all of it is collected again, in percent: the most of V8. It chooses
 * less while the server idles, and then takes the buffers of sockets, which every young collection frees,
 * for growth.
 */
const HEAP_GROWTH_PERCENT = 300

/** To be called before anything is compiled for speed. V8 tells of a flag that it does not know. */
export function tuneV8(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTES_MAX}`)
  // Helpers on other cores save nothing where little survives, and are waited for where cores are shared.
  setFlagsFromString('--no-parallel-scavenge')
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`)
}
