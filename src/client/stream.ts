/** A partition's stream: batches and answers, notifications and gaps, over connections that may break. */
import type * as frames from '../api/frames.js'
import type { Hello, ServerFrame, Subscribed } from '../api/server-frames.js'
import type { Op } from './calls.js'
import { jsonCodec, type StreamCodec, type StreamFilter } from './codec.js'
import { Connection, type Ending } from './connection.js'
import { SynicdError, SynicdStreamClosed, SynicdUnexpectedReply, SynicdUnreachable } from './errors.js'
import { EventOrder, EventQueue, type StreamEvent } from './events.js'
import type { BatchResult } from './partition.js'
import { nextId, Requests } from './requests.js'
import * as o from './stream-options.js'
import { orAborted, pause } from './waits.js'
import { type Connect, connector } from './web-socket.js'

/** A peer that does not answer the close frame is not waited for any longer. */
const CLOSE_PATIENCE_MS = 1000
const CLOSE_NORMAL = 1000
const EXCERPT_LENGTH = 120
/** Letters of a list in the query; servers take a request line and headers of 16 KiB. */
const LISTED_MAX = 2000
const CLOSE_TOO_SLOW: typeof frames.CLOSE_TOO_SLOW = 4008
/** RFC 6455, section 7.4.1. */
const CLOSE_TOO_LARGE = 1009
/** Codes from here on are the application's own: but for one they would be the same next time. */
const APPLICATION_CODES = 4000

interface Subscription {
  readonly filter: StreamFilter
  readonly resolve: (n: number) => void
  readonly reject: (reason: unknown) => void
}

/**
 * The stream of one partition. Send with `ops`, and read what happens with one loop:
 *
 * ```ts
 * const stream = client.stream('p1', { vcpus: [0], kinds: ['message'] })
 * for await (const event of stream) {
 *   if (event.kind === 'gap') console.warn(`lost ${event.from} to ${event.to}`)
 *   else if (event.kind === 'restarted') console.warn('another partition, which counts from 1')
 *   else if (event.kind === 'message') console.log(event.hex)
 * }
 * ```
 *
 * Events come in order of `n`, none twice; whatever is missing is told by an event of kind `gap`, and by
 * `restarted` if the partition is another one under the same id, whose `n` starts again. The loop may be left
 * and entered again, one at a time; who prefers a callback gives `onEvent` instead. Who only sends asks for
 * `kinds: []`.
 *
 * A break after the first hello (server gone, network, too slow a reader) is mended without a word: it
 * reconnects, and goes on behind the last event it saw, with the filter in force. Batches not yet sent wait
 * for that; those that were sent and not answered are rejected with `SynicdInterrupted`. The stream ends for
 * good, the loop throwing, when it never got a hello (`SynicdUnreachable`), on close codes 4000, 4001, 4004
 * and 4010 (`SynicdStreamClosed`), and by its signal; by `close()` the loop just ends.
 */
export class SynicdStream implements AsyncIterable<StreamEvent> {
  /** The first hello; rejected if the stream ends before. */
  readonly opened: Promise<Hello['hello']>
  /** Never rejected: why the stream ended, undefined after `close()`. */
  readonly ended: Promise<unknown>
  readonly #url: string
  readonly #options: o.StreamOptions
  readonly #codec: StreamCodec
  readonly #requests: Requests
  readonly #subscriptions = new Map<number, Subscription>()
  readonly #queue: EventQueue
  readonly #order: EventOrder
  #filter: StreamFilter
  #connection: Connection | undefined
  #state: o.StreamState = 'connecting'
  #closing = false
  #reason: unknown
  #lastId = 0
  #wake = () => {}
  #goodbye = Promise.resolve()
  #tellOpened: (hello: Hello['hello']) => void = () => {}
  #failOpened: (reason: unknown) => void = () => {}
  #tellEnded: (reason: unknown) => void = () => {}
  readonly #abort = () => this.#end(this.#options.signal?.reason, this.#options.signal?.reason)

  /** @param url `ws://host:8440/v1/partitions/p1/stream`; `client.stream(pid)` knows it */
  constructor(url: string, options: o.StreamOptions = {}) {
    this.#url = url
    this.#options = options
    this.#codec = options.codec ?? jsonCodec
    this.#filter = { kinds: options.kinds, vcpus: options.vcpus }
    this.#requests = new Requests(options.pendingMax ?? o.PENDING_MAX)
    this.#queue = new EventQueue(options.eventsMax ?? o.EVENTS_MAX)
    this.#order = new EventOrder(options.since, options.createdAt, (event) => this.#tell(event))
    this.opened = new Promise((resolve, reject) => {
      this.#tellOpened = resolve
      this.#failOpened = reject
    })
    // Who does not ask is not to be told by a crash.
    this.opened.catch(() => {})
    this.ended = new Promise((resolve) => {
      this.#tellEnded = resolve
    })
    if (options.signal?.aborted) this.#abort()
    else {
      options.signal?.addEventListener('abort', this.#abort)
      this.#run().catch((error: unknown) => this.#end(error, error))
    }
  }

  get state(): o.StreamState {
    return this.#state
  }

  /** The newest notification seen, to come back with `since`; undefined before the first hello. */
  get lastN(): number | undefined {
    return this.#order.lastN
  }

  /** When the partition was made that `lastN` counts in; give both to come back. */
  get createdAt(): string | undefined {
    return this.#order.createdAt
  }

  /**
   * Applies a batch in one piece; batches are applied in the order of the calls. Before the first hello and
   * between connections it waits.
   *
   * Rejected with `SynicdProblem` or `SynicdTooLarge` if it was refused and nothing applied,
   * `SynicdInterrupted` if a break leaves it in doubt, `SynicdStreamClosed` or why else the stream ended,
   * `SynicdBusy` if too many wait.
   */
  async ops(ops: readonly Op[], options: o.SendOptions = {}): Promise<BatchResult> {
    if (this.#closing) throw this.#reason
    const id = this.#nextId()
    const frame = this.#codec.encodeOps(id, ops, options.stopOnFault === true)
    return this.#requests.add(id, frame, this.#send, options.signal)
  }

  /**
   * Another filter from now on, also for later connections. Resolved with the number of the notification
   * after which it is in force; a break does not reject it, but after one, older events that the filter
   * before left out may come too. The signal ends the wait, not the subscription.
   */
  async subscribe(filter: StreamFilter, { signal }: Pick<o.SendOptions, 'signal'> = {}): Promise<number> {
    signal?.throwIfAborted()
    if (this.#closing) throw this.#reason
    this.#filter = { kinds: filter.kinds, vcpus: filter.vcpus }
    const id = this.#nextId()
    const n = new Promise<number>((resolve, reject) => {
      this.#subscriptions.set(id, { filter: this.#filter, resolve, reject })
    })
    this.#send(this.#codec.encodeSubscribe(id, this.#filter))
    return orAborted(n, signal)
  }

  /** Events from here on; see the class. Leaving the loop does not close the stream. */
  [Symbol.asyncIterator](): AsyncIterator<StreamEvent, undefined> {
    if (this.#options.onEvent !== undefined) throw new TypeError('the events of this stream go to onEvent')
    const loop = {}
    return {
      next: () => this.#queue.next(loop),
      return: async () => {
        this.#queue.leave(loop)
        return { done: true, value: undefined }
      },
    }
  }

  /**
   * Ends the stream: the loop ends behind what it has not read yet, and who still waits is rejected.
   * @param options `drain`: first wait until all batches are answered, or the signal says not to any longer
   */
  async close({ drain = false, signal }: o.CloseOptions = {}): Promise<void> {
    const reason = new SynicdStreamClosed(CLOSE_NORMAL, 'closed by this side')
    if (!this.#closing) this.#reason = reason
    this.#closing = true
    if (drain) await orAborted(this.#requests.idle(), signal).catch(() => {})
    this.#end(this.#reason, undefined)
    await this.#goodbye
  }

  /** One connection after the other, until it is over. */
  async #run(): Promise<void> {
    const connect = await connector(this.#options.WebSocket, this.#options.headers ?? {})
    const rule = o.reconnectRule(this.#options.reconnect)
    let everGreeted = false
    for (let failures = 0; !this.#isOver(); failures++) {
      const connection = this.#connect(connect)
      const ending = await connection.ended
      if (this.#isOver()) return
      everGreeted ||= connection.greeted
      // A server that greets and hangs up is no better than one that is not there.
      if (connection.hasServed(rule.maxMs)) failures = 0
      const cause = causeOf(ending)
      if (isFinal(ending.code)) return this.#end(cause, cause)
      if (!everGreeted || failures >= rule.attemptsMax) {
        const unreachable = new SynicdUnreachable(this.#url, cause)
        return this.#end(unreachable, unreachable)
      }
      if (ending.code === CLOSE_TOO_LARGE) this.#requests.refuseLongest()
      this.#requests.interrupt(cause)
      this.#become('connecting', cause)
      const { done, stop } = pause(o.backoffMs(rule, failures))
      this.#wake = stop
      await done
    }
  }

  #nextId(): number {
    const isTaken = (id: number) => this.#requests.has(id) || this.#subscriptions.has(id)
    this.#lastId = nextId(this.#lastId, isTaken)
    return this.#lastId
  }

  #isOver(): boolean {
    return this.#state === 'closed'
  }

  #connect(connect: Connect): Connection {
    const { connectTimeoutMs = o.CONNECT_TIMEOUT_MS, idleMs = o.IDLE_MS } = this.#options
    const { url, filter } = this.#address()
    const connection = new Connection({
      connect,
      url,
      codec: this.#codec,
      connectTimeoutMs,
      idleMs,
      onMessage: (data) => {
        // What a connection brings that is no longer ours comes again on the next.
        if (this.#connection === connection && !this.#isOver()) this.#read(data, filter)
      },
      // Asks for the filter in force once more: no change, but an answer.
      onIdle: () => this.#send(this.#codec.encodeSubscribe(0, this.#filter)),
    })
    this.#connection = connection
    return connection
  }

  /**
   * Where to connect so that it goes on behind the last event, and the filter that this asks for: the one in
   * force, or less where a list is too long for a request line.
   */
  #address(): { url: string; filter: StreamFilter } {
    const listed = this.#filter.vcpus?.join(',')
    const isTooLong = listed !== undefined && listed.length > LISTED_MAX
    const filter = isTooLong ? { kinds: this.#filter.kinds } : this.#filter
    const query = {
      vcpus: isTooLong ? undefined : listed,
      kinds: filter.kinds?.join(','),
      since: this.#order.lastN?.toString(),
      created_at: this.#order.createdAt,
      actor: this.#options.actor,
    }
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    )
    return { url: pairs.length === 0 ? this.#url : `${this.#url}?${pairs.join('&')}`, filter }
  }

  /** Sends now if the server listens; says whether it did. */
  readonly #send = (frame: string | Uint8Array): boolean => {
    if (this.#state !== 'open' || this.#connection?.isOpen !== true) return false
    this.#connection.send(frame)
    return true
  }

  #read(data: string | ArrayBuffer, asked: StreamFilter): void {
    let read: ServerFrame[]
    try {
      read = this.#codec.decode(data)
    } catch (error) {
      const unexpected = new SynicdUnexpectedReply(this.#url, 101, excerptOf(data), error)
      return this.#end(unexpected, unexpected)
    }
    // A callback may end it half-way.
    for (const frame of read) if (!this.#isOver()) this.#take(frame, asked)
  }

  #take(frame: ServerFrame, asked: StreamFilter): void {
    if ('kind' in frame) this.#order.notification(frame)
    else if ('gap' in frame) this.#order.gap(frame.gap.from, frame.gap.to)
    else if ('hello' in frame) this.#greet(frame.hello, asked)
    else if ('results' in frame || 'problem' in frame) this.#requests.settle(frame)
    else this.#subscribed(frame)
  }

  #greet(hello: Hello['hello'], asked: StreamFilter): void {
    this.#connection?.greet()
    this.#order.hello(hello.n, hello.created_at, isWhole(asked))
    // What it told may have had a callback end it.
    if (this.#isOver()) return
    this.#state = 'open'
    if (asked !== this.#filter && this.#subscriptions.size === 0) {
      const nobody = () => {}
      this.#subscriptions.set(this.#nextId(), { filter: this.#filter, resolve: nobody, reject: nobody })
    }
    for (const [id, { filter, resolve }] of this.#subscriptions) {
      // The connection was asked for with the newest filter, or with one that is out of date by now.
      if (asked !== this.#filter) this.#send(this.#codec.encodeSubscribe(id, filter))
      else {
        this.#subscriptions.delete(id)
        resolve(hello.n)
      }
    }
    this.#requests.flush(this.#send)
    // Only now: what a callback sends comes behind what has waited.
    this.#become('open')
    this.#tellOpened(hello)
  }

  #subscribed({ id, n }: Subscribed): void {
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined) return
    this.#subscriptions.delete(id)
    this.#order.filtered(isWhole(subscription.filter))
    subscription.resolve(n)
  }

  #tell(event: StreamEvent): void {
    const { onEvent } = this.#options
    if (onEvent === undefined) this.#queue.push(event)
    else shielded(() => onEvent(event))
  }

  #become(state: o.StreamState, cause?: unknown): void {
    this.#state = state
    const { onState } = this.#options
    if (onState !== undefined) shielded(() => onState(state, cause))
  }

  /**
   * It is over.
   * @param reason for those who wait; what was sent is in doubt unless the caller gave up
   * @param error what the loop throws; undefined: it just ends
   */
  #end(reason: unknown, error: unknown): void {
    if (this.#isOver()) return
    this.#closing = true
    this.#reason = reason
    if (reason instanceof SynicdError) this.#requests.interrupt(reason)
    this.#requests.fail(reason)
    for (const { reject } of this.#subscriptions.values()) reject(reason)
    this.#subscriptions.clear()
    this.#failOpened(reason)
    this.#options.signal?.removeEventListener('abort', this.#abort)
    this.#become('closed', reason)
    this.#queue.end(error)
    this.#tellEnded(error)
    this.#wake()
    if (this.#connection !== undefined) this.#goodbye = leave(this.#connection)
  }
}

const isWhole = ({ kinds, vcpus }: StreamFilter) => kinds === undefined && vcpus === undefined

const isFinal = (code: number) => code >= APPLICATION_CODES && code !== CLOSE_TOO_SLOW

/** What made the connection end: the network's own error, or what the server said. */
function causeOf({ code, reason, cause }: Ending): unknown {
  return cause ?? new SynicdStreamClosed(code, reason)
}

function excerptOf(data: string | ArrayBuffer): string {
  return typeof data === 'string' ? data.slice(0, EXCERPT_LENGTH) : `${data.byteLength} bytes`
}

/** Also a server that does not answer keeps no process alive. */
async function leave(connection: Connection): Promise<void> {
  connection.close()
  const { done, stop } = pause(CLOSE_PATIENCE_MS)
  await Promise.race([connection.ended, done])
  stop()
  connection.abandon()
}

/** What a callback throws is its own bug, not the stream's: it surfaces as an uncaught error. */
function shielded(callback: () => void): void {
  try {
    callback()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
