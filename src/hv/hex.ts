/** Bytes as hex text, flat: text built by addition is a rope that takes many times its length in memory. */

const DIGITS = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))
const BYTE_HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
/** Up to here additions are faster and the rope is short. */
const SHORT_BYTES = 8
const decoder = new TextDecoder()

/** Two lower-case digits a byte. */
export function hexOfBytes(bytes: Uint8Array): string {
  if (bytes.length <= SHORT_BYTES) {
    let hex = ''
    for (let i = 0; i < bytes.length; i++) hex += BYTE_HEX[bytes[i]]
    return hex
  }
  const digits = new Uint8Array(2 * bytes.length)
  for (let i = 0; i < bytes.length; i++) {
    digits[2 * i] = DIGITS[bytes[i] >> 4]
    digits[2 * i + 1] = DIGITS[bytes[i] & 15]
  }
  return decoder.decode(digits)
}
