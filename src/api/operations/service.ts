/** Operations on the service itself: probes, metrics, its own description. */
import { z } from 'zod'
import type { Operation } from '../operation.js'

export const METRICS_TYPE = 'text/plain'
export const YAML_TYPE = 'application/yaml'
export const HTML_TYPE = 'text/html'

/** Load balancers and browsers add parameters of their own, and a probe that fails ends a server. */
const AnyQuery = z.looseObject({})
const ANY_QUERY = 'Query parameters are not looked at.'

const Alive = z.object({ status: z.literal('ok') }).meta({ id: 'Alive' })

export const livez = {
  id: 'livez',
  method: 'GET',
  path: '/livez',
  tag: 'service',
  summary: 'Is the process alive?',
  description: ANY_QUERY,
  query: AnyQuery,
  replies: { 200: { description: 'It answers.', schema: Alive } },
  problems: [],
  plane: 'data',
} as const satisfies Operation

export const readyz = {
  id: 'readyz',
  method: 'GET',
  path: '/readyz',
  tag: 'service',
  summary: 'Should it get requests?',
  description: ANY_QUERY,
  query: AnyQuery,
  replies: { 200: { description: 'Yes.', schema: Alive } },
  problems: ['not-ready'],
  plane: 'data',
} as const satisfies Operation

export const getMetrics = {
  id: 'getMetrics',
  method: 'GET',
  path: '/metrics',
  tag: 'service',
  summary: 'Prometheus metrics',
  replies: { 200: { description: 'Text format.', schema: z.string(), type: METRICS_TYPE } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const getOpenapi = {
  id: 'getOpenapi',
  method: 'GET',
  path: '/openapi.yaml',
  tag: 'service',
  summary: 'This document',
  replies: { 200: { description: 'OpenAPI 3.1.', schema: z.string(), type: YAML_TYPE } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const getAsyncapi = {
  id: 'getAsyncapi',
  method: 'GET',
  path: '/asyncapi.yaml',
  tag: 'service',
  summary: 'The description of the stream',
  replies: { 200: { description: 'AsyncAPI 3.0.', schema: z.string(), type: YAML_TYPE } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const getDocs = {
  id: 'getDocs',
  method: 'GET',
  path: '/docs',
  tag: 'service',
  summary: 'This document to browse and to try',
  replies: { 200: { description: 'A page.', schema: z.string(), type: HTML_TYPE } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const getIndex = {
  id: 'getIndex',
  method: 'GET',
  path: '/',
  tag: 'service',
  summary: 'Where to find what',
  replies: {
    200: {
      description: 'Links.',
      schema: z
        .object({ service: z.literal('synicd'), links: z.record(z.string(), z.string()) })
        .meta({ id: 'Index' }),
    },
  },
  problems: [],
  plane: 'control',
} as const satisfies Operation
