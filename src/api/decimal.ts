/** Numbers as decimal text, for texts that hold ever new ones. */

const GROUP = 1000
const PLAIN = Array.from({ length: GROUP }, (_, i) => String(i))
const PADDED = PLAIN.map((digits) => digits.padStart(3, '0'))

/**
 * A non-negative safe integer as `String` writes it. V8 keeps the texts of numbers that it has made: of
 * numbers that count up none is asked for again, and thousands are carried from one collection to the next.
 */
export function decimalText(value: number): string {
  let text = ''
  let rest = value
  while (rest >= GROUP) {
    const higher = Math.floor(rest / GROUP)
    text = PADDED[rest - higher * GROUP] + text
    rest = higher
  }
  return PLAIN[rest] + text
}
