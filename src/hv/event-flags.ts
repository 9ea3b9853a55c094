/** The event-flags page: sixteen areas of 2048 flags (TLFS, "SIEF page"). */

export const FLAGS_PER_SINT = 2048
const FLAG_WORDS_PER_SINT = FLAGS_PER_SINT / 32

/** Word of the page that holds flag `flag` of `sint`. */
export function flagWord(sint: number, flag: number): number {
  return sint * FLAG_WORDS_PER_SINT + (flag >>> 5)
}

/** Byte of the page that holds flag `flag` of `sint`; bit 0 of a byte is its lowest flag. */
export function flagByte(sint: number, flag: number): number {
  return sint * (FLAGS_PER_SINT / 8) + (flag >>> 3)
}
