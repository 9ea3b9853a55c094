/** Page tokens and entity tags: what is one, and what is not. */
import { describe, expect, it } from 'vitest'
import { ifMatch, ifNoneMatch, isTagList } from '../../src/api/etag.js'
import { cursorAfter, serialOf } from '../../src/api/paging.js'

describe('page tokens', () => {
  it.each([0, 1, 35, 36, 2 ** 31, 2 ** 53 - 1])('bring %s back', (serial) => {
    expect(serialOf(cursorAfter(serial))).toBe(serial)
  })

  it.each(['', 'a', '1', 'a1 ', 'A1', 'a01', 'azzzzzzzzzzzz', 'a-1'])('are not "%s"', (text) => {
    expect(serialOf(text)).toBeUndefined()
  })
})

describe('entity tags', () => {
  it.each(['*', ' * ', '"a"', 'W/"a"', '"a", "b"', '"a" , W/"b"', '""'])('are a list: %s', (header) => {
    expect(isTagList(header)).toBe(true)
  })

  it.each(['', 'a', '"a', 'a"', '"a" b', '"a", *', 'w/"a"', '"a b"'])('are no list: %s', (header) => {
    expect(isTagList(header)).toBe(false)
  })

  it.each([
    [undefined, true, false],
    ['*', true, true],
    ['"x"', true, true],
    ['"y", "x"', true, true],
    ['W/"x"', false, true],
    ['"y"', false, false],
  ])('match: %s', (header, strong, weak) => {
    expect([ifMatch(header, '"x"'), ifNoneMatch(header, '"x"')]).toEqual([strong, weak])
  })
})
