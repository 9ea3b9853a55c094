/** One partition: the calls that harnesses and guests make all the time, without the wrapping. */
import type { z } from 'zod'
import type { OpBatchResult } from '../api/batch.js'
import type { PartitionView } from '../api/partition.js'
import type { Result } from '../api/result.js'
import type { CallInput, CallOptions, Op } from './calls.js'
import type { SynicdClient } from './rest.js'
import type { SynicdStream } from './stream.js'
import type { StreamOptions } from './stream-options.js'

/** What a batch did: the number of its first op, and one result for each op applied. */
export type BatchResult = z.output<typeof OpBatchResult>

export interface BatchOptions extends CallOptions {
  /** Apply nothing behind the first op that faults or fails. */
  readonly stopOnFault?: boolean
  /** Who acts where an op does not say. */
  readonly actor?: string
  /** The same key and ops again: the first answer again, and nothing is done twice. Makes a retry safe. */
  readonly idempotencyKey?: string
}

type MsrValue = CallInput<'writeMsr'>['body']

/** Made by `client.partition(pid)`. Methods are rejected as `client.call`'s are. */
export class Partition {
  constructor(
    private readonly client: SynicdClient,
    readonly pid: string,
  ) {}

  /** The partition as it is now. */
  async get(options?: CallOptions): Promise<PartitionView> {
    return (await this.client.call.getPartition({ params: { pid: this.pid } }, options)).body
  }

  /** Applies ops in one piece: all are checked before the first is applied; nothing comes between them. */
  async ops(ops: readonly Op[], options: BatchOptions = {}): Promise<BatchResult> {
    const { stopOnFault, actor, idempotencyKey } = options
    const reply = await this.client.call.postOps(
      {
        params: { pid: this.pid },
        headers: { 'idempotency-key': idempotencyKey },
        body: {
          ops,
          ...(stopOnFault === undefined ? {} : { stop_on_fault: stopOnFault }),
          ...(actor === undefined ? {} : { actor }),
        },
      },
      options,
    )
    return reply.body
  }

  /** Looks at an MSR by name or index: no step of the machine. The result's `value` is `"0x…"`. */
  async readMsr(vp: number, msr: string, options?: CallOptions): Promise<Result> {
    return (await this.client.call.readMsr({ params: { pid: this.pid, vp, msr } }, options)).body
  }

  /** WRMSR: `value` is `"0x…"`, an integer up to 2^53-1, or a body with `by` and `actor`. */
  async writeMsr(
    vp: number,
    msr: string,
    value: MsrValue | MsrValue['value'],
    options?: CallOptions,
  ): Promise<Result> {
    const body = typeof value === 'object' ? value : { value }
    return (await this.client.call.writeMsr({ params: { pid: this.pid, vp, msr }, body }, options)).body
  }

  /** Posts a message to a SINT, as the host. The result's `delivery` tells where it went. */
  async postMessage(
    vp: number,
    message: CallInput<'postMessage'>['body'],
    options?: CallOptions,
  ): Promise<Result> {
    const input = { params: { pid: this.pid, vp }, body: message }
    return (await this.client.call.postMessage(input, options)).body
  }

  /** Sets an event flag, as the host. */
  async signalEvent(
    vp: number,
    event: CallInput<'signalEvent'>['body'],
    options?: CallOptions,
  ): Promise<Result> {
    return (await this.client.call.signalEvent({ params: { pid: this.pid, vp }, body: event }, options)).body
  }

  /** Opens its stream. */
  stream(options?: StreamOptions): SynicdStream {
    return this.client.stream(this.pid, options)
  }

  /** Deletes it. */
  async delete(options?: CallOptions): Promise<void> {
    await this.client.call.deletePartition({ params: { pid: this.pid } }, options)
  }
}
