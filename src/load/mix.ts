/** What harnesses do, in which shares: `messages=8,events=1,registers=1`. */

const MIX_KINDS = ['messages', 'events', 'registers'] as const
export type MixKind = (typeof MIX_KINDS)[number]
export type Mix = Readonly<Record<MixKind, number>>

const RULE = `one of ${MIX_KINDS.join(', ')} with a share from 0 to 999, as in messages=8`

const isKind = (text: string | undefined): text is MixKind => MIX_KINDS.some((kind) => kind === text)

/** @throws RangeError with the rule that is broken */
export function parseMix(text: string): Mix {
  const shares = new Map<MixKind, number>()
  for (const part of text.split(',')) {
    const [, kind, share] = /^(\w+)=(\d{1,3})$/.exec(part.trim()) ?? []
    if (!isKind(kind)) throw new RangeError(`"${part}" is not ${RULE}`)
    if (shares.has(kind)) throw new RangeError(`${kind} stands there twice`)
    shares.set(kind, Number(share))
  }
  const shareOf = (kind: MixKind) => shares.get(kind) ?? 0
  if (MIX_KINDS.every((kind) => shareOf(kind) === 0)) throw new RangeError('every share is 0')
  return { messages: shareOf('messages'), events: shareOf('events'), registers: shareOf('registers') }
}

export const mixText = (mix: Mix): string => MIX_KINDS.map((kind) => `${kind}=${mix[kind]}`).join(',')

/** One round: each kind as often as its share says, spread as evenly as can be. */
export function roundOf(mix: Mix): MixKind[] {
  const total = mix.messages + mix.events + mix.registers
  const due = { messages: 0, events: 0, registers: 0 }
  return Array.from({ length: total }, () => {
    for (const kind of MIX_KINDS) due[kind] += mix[kind]
    const next = MIX_KINDS.reduce((best, kind) => (due[kind] > due[best] ? kind : best))
    due[next] -= total
    return next
  })
}
