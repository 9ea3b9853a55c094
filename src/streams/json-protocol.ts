/** `synic.v1.json`: one JSON object a text message, for people, dashboards and scripts. */

import { ClientFrame, JSON_PROTOCOL, SubscribeFrame, UncheckedOps } from '../api/frames.js'
import { hasTooManyParts, JSON_PARTS_RULE } from '../api/json-text.js'
import { putNotification } from '../api/notification.js'
import { fieldProblems } from '../api/problem.js'
import type { Incoming } from './incoming.js'
import type { Outlet } from './outbox.js'
import type { Answered, Protocol, Requests, Run, StreamPartition } from './protocol.js'
import type { FrameBuffer } from './websocket-frames.js'

const RULE = 'a frame is {"id","ops"} or {"id","subscribe"}'

export class JsonProtocol implements Protocol {
  readonly name = JSON_PROTOCOL

  read(message: Incoming, requests: Requests): string | undefined {
    if (message.isBinary) return 'this protocol has text frames'
    const text = message.text()
    if (hasTooManyParts(text)) return `a frame must ${JSON_PARTS_RULE}`
    const frame = parse(text)
    if (typeof frame === 'string') return frame
    if ('subscribe' in frame) requests.subscribe(frame.id, frame.subscribe)
    else {
      const { id, ops, stop_on_fault = false } = frame
      requests.apply(id, { applyTo: (partition) => apply(partition, id, ops, stop_on_fault) })
    }
    return undefined
  }

  hello(outlet: Outlet, { id: partition, lastN: n, createdAt }: StreamPartition): void {
    const created_at = createdAt.toISOString()
    outlet.text(JSON.stringify({ hello: { partition, created_at, n, protocol: JSON_PROTOCOL } }))
  }

  refused(outlet: Outlet, id: number, problem: object): void {
    outlet.text(JSON.stringify({ id, problem }))
  }

  subscribed(outlet: Outlet, id: number, n: number): void {
    outlet.text(`{"id":${id},"n":${n}}`)
  }

  gap(outlet: Outlet, from: number, to: number): void {
    outlet.text(`{"gap":{"from":${from},"to":${to}}}`)
  }

  notification(outlet: Outlet, words: Int32Array, at: number): void {
    putNotification(outlet.beginText(), words, at)
    outlet.endText()
  }

  share(run: Run, wanted: readonly number[], frames: FrameBuffer): void {
    for (const i of wanted) {
      putNotification(frames.beginText(), run.words, run.starts[i])
      frames.endText()
    }
  }
}

function apply(
  partition: StreamPartition,
  id: number,
  ops: readonly unknown[],
  stopOnFault: boolean,
): Answered {
  const { seq, halted, results } = partition.applyBatch(ops, stopOnFault)
  return {
    halted,
    bytes: halted.length === 0 ? 0 : results.reduce((sum, text) => sum + text.length, 0),
    write: (outlet) => {
      const out = outlet.beginText().put('{"id":').decimal(id).put(',"seq":').decimal(seq)
      out.put(',"results":[')
      for (let i = 0; i < results.length; i++) (i === 0 ? out : out.put(',')).put(results[i])
      out.put(']}')
      outlet.endText()
    },
  }
}

interface OpsFrame {
  readonly id: number
  readonly ops: readonly unknown[]
  readonly stop_on_fault?: boolean
}

/**
 * The frame, or what is wrong with it. Batches are what comes all the time: their outer shape is checked by
 * hand, as the schema would.
 */
function parse(text: string) {
  let frame: unknown
  try {
    frame = JSON.parse(text)
  } catch {
    return RULE
  }
  return isOps(frame) ? frame : (ClientFrame.safeParse(frame).data ?? mistakeOf(frame))
}

/** What is wrong with a frame, by its field: a close code has room for a line. */
function mistakeOf(frame: unknown): string {
  const is = (name: string) => typeof frame === 'object' && frame !== null && name in frame
  if (!is('subscribe') && !is('ops')) return RULE
  const [issue] = (is('subscribe') ? SubscribeFrame : UncheckedOps).safeParse(frame).error?.issues ?? []
  if (issue === undefined) return RULE
  if (issue.code === 'unrecognized_keys') {
    return `${[...issue.path, issue.keys[0]].join('/')} is no member of this frame`
  }
  const [{ path, message }] = fieldProblems([issue])
  return `${path} ${message}`
}

function isOps(frame: unknown): frame is OpsFrame {
  if (typeof frame !== 'object' || frame === null) return false
  const { id, ops } = frame as Partial<OpsFrame>
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0 || !Array.isArray(ops)) return false
  // With a third member the schema decides.
  let members = 0
  for (const _ in frame) members++
  return members === 2
}
