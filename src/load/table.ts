/** Figures as a person reads them. */
import type { Latency, Sample } from './figures.js'
import { mixText } from './mix.js'
import type { LoadPlan } from './plan.js'
import { perSecond, reasonOf } from './report.js'
import type { Moment, Outcome } from './run.js'
import type { Troubles } from './troubles.js'

const NAME_WIDTH = 24
const NUMBER_WIDTH = 11

const grouped = new Intl.NumberFormat('en-US')
const number = (value: number) => grouped.format(value)
const plural = (count: number, one: string, many = `${one}s`) =>
  `${number(count)} ${count === 1 ? one : many}`
const seconds = (value: number) => `${value.toFixed(1)} s`

/** How long a load runs: minutes and seconds from two minutes on. */
function clock(ms: number): string {
  if (ms < 120_000) return seconds(ms / 1000)
  const whole = Math.floor(ms / 1000)
  return `${number(Math.floor(whole / 60))} min ${whole % 60} s`
}

function duration(us: number): string {
  if (us < 1000) return `${us} us`
  return us < 1_000_000 ? `${(us / 1000).toFixed(us < 100_000 ? 2 : 1)} ms` : `${(us / 1e6).toFixed(2)} s`
}

const row = (name: string, cells: readonly string[]) =>
  (name.padEnd(NAME_WIDTH) + cells.map((cell) => cell.padStart(NUMBER_WIDTH)).join('')).trimEnd()

const latencyCells = ({ count, p50, p99, p999, max }: Latency) =>
  count === 0 ? [] : [p50, p99, p999, max].map(duration)

export function planText(plan: LoadPlan): string {
  const { guests, harnesses, watchers, partitions, profile, protocol, mix, batch, window, rate } = plan
  const who = [plural(guests, 'guest'), plural(harnesses, 'harness', 'harnesses')]
  who.push(plural(watchers, 'watcher'))
  const pace = rate === undefined ? '' : `, ${number(rate)} messages a second`
  return [
    `${who.join(', ')} on ${plural(partitions, 'partition')} (${profile}), synic.v1.${protocol}`,
    `mix ${mixText(mix)}; batches of ${batch}, ${window} in flight${pace}`,
  ].join('\n')
}

/** Rates and latencies of an interval, or of the whole. */
function sampleTable({ seconds: length, counts, batch, delivery }: Sample): string[] {
  const rate = (count: number) => number(perSecond(count, length))
  return [
    row('', ['a second', 'p50', 'p99', 'p99.9', 'max']),
    row('ops', [rate(counts.ops)]),
    row('messages, to the guest', [rate(counts.messages), ...latencyCells(delivery)]),
    row('batches, round trip', [rate(counts.batches), ...latencyCells(batch)]),
    row('notifications watched', [rate(counts.notifications)]),
  ]
}

/** One line for where no table can be redrawn. */
export function sampleLine(sample: Sample, { elapsedMs, isWarmup }: Moment): string {
  const { counts, delivery, seconds: length } = sample
  const rate = (count: number) => number(perSecond(count, length))
  const late =
    delivery.count === 0 ? '' : `, delivery p50 ${duration(delivery.p50)} p99 ${duration(delivery.p99)}`
  const did = `${rate(counts.ops)} ops/s, ${rate(counts.messages)} messages/s`
  const told = `${rate(counts.notifications)} notifications/s`
  return `${seconds(elapsedMs / 1000)}: ${did}, ${told}${late}${isWarmup ? ' (warming up)' : ''}`
}

export function liveLines(plan: LoadPlan, sample: Sample, now: Moment): string[] {
  const time = `${clock(now.elapsedMs)} of ${clock(plan.durationMs)}`
  return [`${time}${now.isWarmup ? ', warming up' : ''}`, ...sampleTable(sample), countsLine(now.troubles)]
}

function measuredText({ warmupSeconds, sample }: Outcome): string {
  const measured = `measured for ${seconds(sample.seconds)}`
  return warmupSeconds === 0
    ? `${measured}, from the very beginning: it ended during the warm-up`
    : `${measured}; the first ${seconds(warmupSeconds)} are left out as warm-up`
}

const countsLine = ({ busy, failed, gaps }: Troubles) =>
  `whole run: ${number(busy)} busy, ${number(failed)} failed, ${number(gaps)} notifications missed`

function troubleLines({ troubles, ...outcome }: Outcome): string[] {
  const { firstFailure, problems } = troubles
  const { posted, seen, lost, inDoubt } = outcome
  const messages = [`${number(posted)} messages posted`, `${number(seen)} seen`, `${number(lost)} lost`]
  if (inDoubt > 0) messages.push(`${number(inDoubt)} in doubt`)
  return [
    `whole run: ${messages.join(', ')}`,
    countsLine(troubles),
    ...(firstFailure === undefined ? [] : [`first failure: ${firstFailure}`]),
    ...[...problems.values()].map(({ code, detail, count }) => `refused: ${detail} (${code}, ${count}x)`),
  ]
}

export function outcomeText(outcome: Outcome): string {
  const { ending, left, plan, sample, troubles } = outcome
  const lines = [
    planText(plan),
    measuredText(outcome),
    '',
    ...sampleTable(sample),
    '',
    ...troubleLines(outcome),
  ]
  if (ending.ended === 'interrupted') lines.push('ended early')
  // A refusal is told already.
  if (ending.ended === 'broken' && troubles.problems.size === 0)
    lines.push(`broken off: ${reasonOf(outcome)}`)
  if (left.length > 0) lines.push(`left on the server: ${left.join(', ')}`)
  return `${lines.join('\n')}\n`
}
