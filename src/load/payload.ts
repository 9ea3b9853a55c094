/** What is in a message: its number, by which it is known again. */

export const PAYLOAD_BYTES = 8

export const payloadOf = (seq: number): string => seq.toString(16).padStart(2 * PAYLOAD_BYTES, '0')

/** @param hex the payload, and what may follow it */
export const seqOf = (hex: string): number => Number.parseInt(hex.slice(0, 2 * PAYLOAD_BYTES), 16)
