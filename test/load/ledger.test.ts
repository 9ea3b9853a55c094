/** Messages between harness and guest: room, and what became of each. */
import { describe, expect, it } from 'vitest'
import { Ledger, type Letter } from '../../src/load/ledger.js'

function sent(ledger: Ledger, count: number): Letter[] {
  return Array.from({ length: count }, () => ledger.send(0)).flatMap((letter) => letter ?? [])
}

describe('a ledger', () => {
  it('numbers messages from 1 and gives the guests turns', () => {
    expect(sent(new Ledger(3, 2), 4).map(({ seq, vcpu }) => [seq, vcpu])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 0],
    ])
  })

  it('has room for so many a guest, and passes over who has none', () => {
    const ledger = new Ledger(2, 2)
    const letters = sent(ledger, 9)
    expect([letters.length, ledger.hasRoom, ledger.inFlightTo(0)]).toEqual([4, false, 2])
    ledger.see(letters[1].seq)
    expect(ledger.send(0)?.vcpu).toBe(1)
    expect(ledger.send(0)).toBeUndefined()
  })

  it('knows what the server took and no guest saw', () => {
    const ledger = new Ledger(1, 8)
    const [seen, lost, refused, unanswered] = sent(ledger, 4)
    for (const letter of [seen, lost]) ledger.accept(letter)
    ledger.see(seen.seq)
    ledger.refuse(refused)
    expect([ledger.posted, ledger.seen, ledger.inFlight]).toEqual([2, 1, 2])
    expect(ledger.acceptedFor(0)).toEqual([lost.seq])
    expect([lost, unanswered].map(({ seq }) => ledger.see(seq))).toEqual([true, true])
  })

  it('counts a message that is seen before the server has answered', () => {
    const ledger = new Ledger(1, 1)
    const [letter] = sent(ledger, 1)
    ledger.see(letter.seq)
    ledger.accept(letter)
    expect([ledger.posted, ledger.seen, ledger.inFlight]).toEqual([1, 1, 0])
    expect(ledger.acceptedFor(0)).toEqual([])
  })

  it('knows a message only once', () => {
    const ledger = new Ledger(1, 1)
    const [letter] = sent(ledger, 1)
    expect([ledger.see(letter.seq), ledger.see(letter.seq), ledger.see(7)]).toEqual([true, false, false])
    expect(ledger.sentAtMs(letter.seq)).toBeUndefined()
  })

  it('tells who waits when there is room again', async () => {
    const ledger = new Ledger(1, 1)
    const [letter] = sent(ledger, 1)
    const waiting = [ledger.changed(), ledger.changed()]
    ledger.see(letter.seq)
    await Promise.all(waiting)
    const woken = ledger.changed()
    ledger.wake()
    await woken
  })
})
