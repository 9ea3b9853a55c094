/** The stream's frames to one AsyncAPI 3.0 document: what `npm run openapi` writes and the server serves. */
import type { z } from 'zod'
import { Components, type Json } from './components.js'
import { BIN_PROTOCOL, CLOSE_CODES, JSON_PROTOCOL, OpsFrame, StreamQuery, SubscribeFrame } from './frames.js'
import { BYTES_TYPE, JSON_TYPE } from './operation.js'
import { PartitionPath } from './params.js'
import { Answer, Gap, Hello, NOTIFICATIONS, Refusal, Subscribed } from './server-frames.js'

const ADDRESS = '/v1/partitions/{pid}/stream'
const CHANNEL = '#/channels/stream'
const ID = { $ref: '#/components/correlationIds/requestId' }

/** The document names no address of its own docs, as `externalDocs` would have to. */
const RECORDS = {
  description: 'Layout of the frames: "Binary records" in docs/streams.md.',
  'x-docs': 'docs/streams.md#binary-records',
}
const BINARY = { type: 'string', format: 'binary' }

/** Binary frames, by name. */
const BINARY_MESSAGES: Readonly<Record<string, string>> = {
  BinaryFromClient: `A batch of ops or another filter, under \`${BIN_PROTOCOL}\`.`,
  BinaryFromServer: `Hello, answers, gaps and notifications, under \`${BIN_PROTOCOL}\`.`,
}

interface Meta {
  readonly id: string
  readonly description: string
  readonly examples: readonly object[]
}
const metaOf = (schema: z.ZodType) => schema.meta() as unknown as Meta

/** What a client may ask, and what may answer it. */
const REQUESTS = [
  {
    name: 'applyOps',
    summary: 'Applies ops in one piece',
    request: OpsFrame,
    replies: [Answer, Refusal],
  },
  {
    name: 'subscribe',
    summary: 'Changes what the client is told',
    request: SubscribeFrame,
    replies: [Subscribed],
  },
] as const
const TOLD = [Hello, Gap, ...NOTIFICATIONS]
const WITH_ID: readonly z.ZodType[] = REQUESTS.flatMap(({ request, replies }) => [request, ...replies])

/** Examples stand with the message, and not once more with the schema of its payload. */
function messageOf(components: Components, schema: z.ZodType, io: 'input' | 'output'): Json {
  const { id, description, examples } = metaOf(schema)
  const payload = components.json(schema, io)
  delete components.schemas[id].examples
  return {
    name: id,
    title: id,
    summary: description,
    contentType: JSON_TYPE,
    ...(WITH_ID.includes(schema) ? { correlationId: ID } : {}),
    payload,
    examples: examples.map((example) => ({ payload: example })),
  }
}

function binaryMessage(name: string, summary: string): Json {
  return { name, title: name, summary, ...RECORDS, contentType: BYTES_TYPE, payload: BINARY }
}

function messagesOf(components: Components): Record<string, Json> {
  const messages: Record<string, Json> = {}
  const add = (schema: z.ZodType, io: 'input' | 'output') => {
    messages[metaOf(schema).id] = messageOf(components, schema, io)
  }
  for (const { request } of REQUESTS) add(request, 'input')
  for (const { replies } of REQUESTS) for (const reply of replies) add(reply, 'output')
  for (const schema of TOLD) add(schema, 'output')
  for (const [name, summary] of Object.entries(BINARY_MESSAGES)) messages[name] = binaryMessage(name, summary)
  return messages
}

const inChannel = (names: readonly string[]) => names.map((name) => ({ $ref: `${CHANNEL}/messages/${name}` }))
const namesOf = (schemas: readonly z.ZodType[]) => schemas.map((schema) => metaOf(schema).id)
const channel = { $ref: CHANNEL }

function operations(): Json {
  const requests = REQUESTS.map(({ name, summary, request, replies }) => [
    name,
    {
      action: 'receive',
      channel,
      summary,
      messages: inChannel(namesOf([request])),
      reply: { channel, messages: inChannel(namesOf(replies)) },
    },
  ])
  return {
    ...Object.fromEntries(requests),
    tell: {
      action: 'send',
      channel,
      summary: 'Says hello, then tells what happens in the partition',
      description:
        '`n` counts 1, 2, 3 ... per partition without holes, whatever the filter. Notifications of a batch ' +
        'come before its answer.',
      messages: inChannel(namesOf(TOLD)),
    },
    receiveBinary: {
      action: 'receive',
      channel,
      summary: 'Takes the same requests as records',
      messages: inChannel(['BinaryFromClient']),
    },
    sendBinary: {
      action: 'send',
      channel,
      summary: 'Answers and tells the same as records',
      messages: inChannel(['BinaryFromServer']),
    },
  }
}

function streamChannel(components: Components, messages: readonly string[]): Json {
  const { description, examples } = PartitionPath.shape.pid.meta() ?? {}
  const codes = Object.entries(CLOSE_CODES)
  return {
    address: ADDRESS,
    title: 'Stream of a partition',
    description:
      'Ops in, notifications and answers out, over one WebSocket. It ends with a close code:\n\n' +
      codes.map(([code, meaning]) => `- ${code}: ${meaning}`).join('\n'),
    parameters: { pid: { description, examples } },
    messages: Object.fromEntries(messages.map((name) => [name, { $ref: `#/components/messages/${name}` }])),
    bindings: {
      ws: {
        method: 'GET',
        query: components.json(StreamQuery, 'input'),
        headers: {
          type: 'object',
          properties: {
            'Sec-WebSocket-Protocol': {
              description: `JSON text frames, or binary frames for load. Without it: \`${JSON_PROTOCOL}\`.`,
              type: 'string',
              enum: [JSON_PROTOCOL, BIN_PROTOCOL],
            },
          },
        },
        bindingVersion: '0.1.0',
      },
    },
    'x-close-codes': Object.fromEntries(codes),
  }
}

/** zod writes our schemas alike in JSON Schema 2020-12 and in draft 7, which AsyncAPI takes. */
export function asyncapiDocument(): Json {
  const components = new Components()
  const messages = messagesOf(components)
  const stream = streamChannel(components, Object.keys(messages))
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'synicd',
      version: '1.0.0',
      description:
        'Streams of simulated Hyper-V partitions. The REST side of the service is in openapi.yaml. u64 ' +
        'values are `"0x1f"`; input also takes JSON integers up to 2^53-1. Time is in 100 ns ticks.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: JSON_TYPE,
    servers: {
      local: {
        host: '127.0.0.1:8440',
        protocol: 'ws',
        description: 'Where `synicd serve` listens by default.',
      },
    },
    channels: { stream },
    operations: operations(),
    components: {
      messages,
      correlationIds: {
        requestId: {
          description: "The client's number for a request; its answer carries it.",
          location: '$message.payload#/id',
        },
      },
      schemas: components.sorted(),
    },
  }
}
