/** The mix of a load: how it is written, and how evenly a round spreads it. */
import { describe, expect, it } from 'vitest'
import { mixText, parseMix, roundOf } from '../../src/load/mix.js'

describe('parseMix', () => {
  it.each([
    ['messages=8,events=1,registers=1', { messages: 8, events: 1, registers: 1 }],
    ['registers=3', { messages: 0, events: 0, registers: 3 }],
    [' events=2 , messages=0', { messages: 0, events: 2, registers: 0 }],
  ])('reads %s', (text, mix) => {
    expect(parseMix(text)).toEqual(mix)
    expect(parseMix(mixText(parseMix(text)))).toEqual(mix)
  })

  it.each([
    ['', /"" is not one of messages, events, registers/],
    ['messages', /"messages" is not one of/],
    ['timers=1', /"timers=1" is not one of/],
    ['messages=-1', /"messages=-1" is not one of/],
    ['messages=1000', /a share from 0 to 999/],
    ['messages=1,messages=2', /messages stands there twice/],
    ['messages=0,events=0', /every share is 0/],
  ])('refuses "%s"', (text, message) => expect(() => parseMix(text)).toThrow(message))
})

describe('roundOf', () => {
  it('has each kind as often as its share says', () => {
    const round = roundOf({ messages: 8, events: 1, registers: 3 })
    const count = (kind: string) => round.filter((one) => one === kind).length
    expect([count('messages'), count('events'), count('registers')]).toEqual([8, 1, 3])
  })

  it('spreads them evenly', () => {
    const letters = roundOf({ messages: 4, events: 2, registers: 0 }).map(([letter]) => letter)
    expect(letters.join('')).toBe('memmem')
  })
})
