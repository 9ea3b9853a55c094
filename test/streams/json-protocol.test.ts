/** What a bad frame is told, without a socket: the field and the rule, as far as a close code has room. */
import { expect, it } from 'vitest'
import { JsonProtocol } from '../../src/streams/json-protocol.js'
import type { Requests } from '../../src/streams/protocol.js'

const NOTHING_ASKED: Requests = {
  mayAsk: () => true,
  apply: () => expect.unreachable('nothing is applied'),
  subscribe: () => expect.unreachable('the filter stays'),
}

it.each([
  ['no JSON', '{"id":1', /^a frame is \{"id","ops"\} or \{"id","subscribe"\}$/],
  ['another object', '{"id":1,"hello":true}', /^a frame is /],
  ['no object', '[1]', /^a frame is /],
  [
    'a kind that does not exist',
    '{"id":1,"subscribe":{"kinds":["foo"]}}',
    /^subscribe\/kinds\/0 must be kinds: some of message,/,
  ],
  ['a vCPU that is no number', '{"id":1,"subscribe":{"vcpus":["0"]}}', /^subscribe\/vcpus\/0 must be /],
  [
    'a filter that does not exist',
    '{"id":1,"subscribe":{"vcpu":[0]}}',
    /^subscribe\/vcpu is no member of this frame$/,
  ],
  [
    'a flag that is a text',
    '{"id":1,"ops":[],"stop_on_fault":"yes"}',
    /^stop_on_fault must be true or false$/,
  ],
  ['a member too many', '{"id":1,"ops":[],"speed":9}', /^speed is no member of this frame$/],
  ['an id that is a text', '{"id":"1","ops":[]}', /^id must be a number$/],
  ['an id that is no integer', '{"id":1.5,"ops":[]}', /^id must be an integer$/],
  ['an id below 0', '{"id":-1,"ops":[]}', /^id must be at least 0$/],
  ['an id too large', '{"id":9007199254740992,"ops":[]}', /^id must be at most 9007199254740991$/],
  ['no id', '{"ops":[]}', /^id must be a number$/],
  ['no filter', '{"id":1,"subscribe":null}', /^subscribe must be an object$/],
  ['ops that are no list', '{"id":1,"ops":{}}', /^ops must be a list$/],
])('%s', (_what, text, reason) => {
  const message = { isBinary: false, text: () => text } as Parameters<JsonProtocol['read']>[0]
  expect(new JsonProtocol().read(message, NOTHING_ASKED)).toMatch(reason)
})
