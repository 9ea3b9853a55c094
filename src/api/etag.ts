/** Revisions as entity tags, and the two conditional headers (RFC 9110 §13). */

const TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/
const TAGS = /(?:W\/)?"[^"]*"/g

export const ETAG_RULE = 'entity tags such as "a1-3", separated by commas, or *'

/** A list of tags, or `*`; undefined if the header is neither. */
function parse(header: string): readonly string[] | '*' | undefined {
  if (header.trim() === '*') return '*'
  const tags = header.match(TAGS) ?? []
  const rest = header.replace(TAGS, '').replace(/[\s,]/g, '')
  return rest === '' && tags.length > 0 && tags.every((tag) => TAG.test(tag)) ? tags : undefined
}

export function isTagList(header: string): boolean {
  return parse(header) !== undefined
}

/** If-Match: may the change go on? Strong comparison: a weak tag never matches. */
export function ifMatch(header: string | undefined, current: string): boolean {
  if (header === undefined) return true
  const tags = parse(header) ?? []
  return tags === '*' || tags.includes(current)
}

/** If-None-Match: has the client what it would get? Weak comparison. */
export function ifNoneMatch(header: string | undefined, current: string): boolean {
  if (header === undefined) return false
  const tags = parse(header) ?? []
  return tags === '*' || tags.some((tag) => tag.replace(/^W\//, '') === current)
}
