/** See numbers.mjs. */
export interface NumberConstant {
  readonly name: string
  readonly value: number
  readonly isExported: boolean
  readonly at: number
  readonly text: string
}
export function numbersOf(path: string): NumberConstant[]
