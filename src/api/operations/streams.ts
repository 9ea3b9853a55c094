/** The upgrade to a partition's stream. What goes over it then is in asyncapi.yaml. */
import { z } from 'zod'
import { BIN_PROTOCOL, CLOSE_CODES, JSON_PROTOCOL, StreamQuery } from '../frames.js'
import type { Operation } from '../operation.js'
import { PartitionPath } from '../params.js'

const closeCodes = Object.entries(CLOSE_CODES).map(([code, meaning]) => `- ${code}: ${meaning}`)

export const openStream = {
  id: 'openStream',
  method: 'GET',
  path: '/v1/partitions/{pid}/stream',
  tag: 'streams',
  summary: 'Open the stream: a WebSocket',
  description:
    'Ops go in, answers and notifications come out; `/asyncapi.yaml` has every frame. A request without ' +
    '`Upgrade: websocket` is told what is wrong with it, or 426. A WebSocket is opened first, because ' +
    `browsers hide other answers from pages, and told by its close code:\n\n${closeCodes.join('\n')}`,
  params: PartitionPath,
  query: StreamQuery,
  headers: z.strictObject({
    'sec-websocket-protocol': z
      .string()
      .optional()
      .meta({
        description:
          `What the client speaks: \`${JSON_PROTOCOL}\` and \`${BIN_PROTOCOL}\`, or one of them; JSON if ` +
          'both or none.',
        examples: [JSON_PROTOCOL],
      }),
  }),
  replies: {
    101: {
      description: 'A WebSocket.',
      headers: { 'sec-websocket-protocol': 'What is spoken; absent if the client offered nothing known.' },
    },
  },
  problems: ['upgrade-required', 'foreign-origin', 'too-busy'],
  plane: 'data',
} as const satisfies Operation
