/**
 * How much JSON may hold. A text of nothing but `{},{},...` becomes fifty times its length in memory, and
 * holds the event loop for as many seconds as it has megabytes: what counts is values, not bytes.
 */

/** Objects, lists and members in one text: more than any snapshot has, and read in half a second or so. */
export const JSON_PARTS_MAX = 2 * 1024 * 1024

const OPEN_BRACE = '{'.charCodeAt(0)
const OPEN_BRACKET = '['.charCodeAt(0)
const COMMA = ','.charCodeAt(0)

/** The same, as a refusal says it. */
export const JSON_PARTS_RULE = `have at most ${JSON_PARTS_MAX} objects, lists and members`

/**
 * Has it more than may be parsed? What looks like punctuation inside a text counts too: no document of ours
 * comes near.
 */
export function hasTooManyParts(text: string): boolean {
  const { length } = text
  // Each takes one character at least, so that a short text need not be looked through.
  if (length <= JSON_PARTS_MAX) return false
  let count = 0
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code === COMMA || code === OPEN_BRACE || code === OPEN_BRACKET) count++
  }
  return count > JSON_PARTS_MAX
}
