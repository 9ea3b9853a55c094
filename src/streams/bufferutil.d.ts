/** The package has no types of its own. */
declare module 'bufferutil' {
  const bufferUtil: {
    /** `length` bytes of `source`, each with the mask's byte of its turn, into `output` from `offset` on. */
    mask(source: Uint8Array, mask: Uint8Array, output: Uint8Array, offset: number, length: number): void
  }
  export = bufferUtil
}
