/** How V8 compiles what runs all the time (ADR 7). */
import { setFlagsFromString } from 'node:v8'

/**
 * Bytes of bytecode that one function may draw in from others; V8 stops at 920. A batch is one loop over ops
 * of many kinds, whose parts are small functions: at 920 it depends on chance which of them stay calls.
 */
const INLINED_BYTES_MAX = 5000

/** To be called before anything is compiled for speed. A flag that a later V8 does not know is ignored. */
export function tuneCompiler(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTES_MAX}`)
}
