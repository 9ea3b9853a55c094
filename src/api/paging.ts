/** Page tokens: opaque to clients, and they survive the deletion of what they point at. */
import { z } from 'zod'
import { integerText } from './params.js'

const PAGE_LIMIT_MAX = 1000
export const PAGE_LIMIT_DEFAULT = 100

export const pageQuery = {
  limit: integerText(1, PAGE_LIMIT_MAX)
    .optional()
    .meta({ description: `Items on a page; ${PAGE_LIMIT_DEFAULT} unless given.` }),
  cursor: z.string().max(64).optional().meta({ description: '`next_cursor` of the page before.' }),
}

const TOKEN = /^a([0-9a-z]{1,11})$/

/** The token of the page behind the item with this serial number. */
export function cursorAfter(serial: number): string {
  return `a${serial.toString(36)}`
}

/** The serial number a token stands for; undefined if it is no token of ours. */
export function serialOf(cursor: string): number | undefined {
  const digits = TOKEN.exec(cursor)?.[1]
  const serial = digits === undefined ? Number.NaN : Number.parseInt(digits, 36)
  return Number.isSafeInteger(serial) && cursorAfter(serial) === cursor ? serial : undefined
}
