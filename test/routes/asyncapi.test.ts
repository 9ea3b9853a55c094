/** asyncapi.yaml is what the code says, valid by AsyncAPI's own schema, served, and its examples fit. */
import { readFileSync } from 'node:fs'
import specs from '@asyncapi/specs'
import { Ajv, type SchemaObject } from 'ajv'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { asyncapiYaml } from '../../routes/contract.js'
import { BIN_PROTOCOL, CLOSE_CODES, JSON_PROTOCOL, StreamQuery } from '../../src/api/frames.js'
import { testApp } from '../support/app.js'
import { brokenReferences } from '../support/references.js'

interface Message {
  readonly contentType: string
  readonly payload: object
  readonly examples?: readonly { readonly payload: unknown }[]
}

const committed = readFileSync(new URL('../../asyncapi.yaml', import.meta.url), 'utf8')
const document = parse(committed)
const messages = Object.entries<Message>(document.components.messages)
const { stream } = document.channels

const ajv = new Ajv({ strict: false })
addFormats.default(ajv)

describe('asyncapi.yaml', () => {
  it('is up to date', () => {
    expect(committed === asyncapiYaml(), 'asyncapi.yaml differs from the code: run `npm run openapi`').toBe(
      true,
    )
  })

  it('is what the server serves', async () => {
    const reply = await (await testApp()).get('/asyncapi.yaml')
    expect([reply.text === committed, reply.headers['content-type']]).toEqual([
      true,
      'application/yaml; charset=utf-8',
    ])
  })

  it('is valid AsyncAPI 3.0', () => {
    const validate = ajv.compile(specs.schemasWithoutId['3.0.0'] as SchemaObject)
    validate(document)
    expect(validate.errors).toBeNull()
    expect(validate({ ...document, channels: { stream: { ...stream, adress: '/' } } })).toBe(false)
  })

  it('refers only to what is there', () => {
    expect(brokenReferences(document)).toEqual([])
  })

  it('tells every message in an operation, and every close code', () => {
    const text = JSON.stringify(document.operations)
    for (const [name] of messages) expect(text).toContain(`"#/channels/stream/messages/${name}"`)
    expect(stream['x-close-codes']).toEqual(CLOSE_CODES)
    const { query, headers } = stream.bindings.ws
    expect(Object.keys(query.properties)).toEqual(Object.keys(StreamQuery.shape))
    expect(headers.properties['Sec-WebSocket-Protocol'].enum).toEqual([JSON_PROTOCOL, BIN_PROTOCOL])
  })
})

describe('the messages of asyncapi.yaml', () => {
  const { schemas } = document.components
  ajv.addSchema({ $id: 'doc', components: { schemas } })
  const validatorOf = ({ payload }: Message) =>
    ajv.compile(JSON.parse(JSON.stringify(payload).replaceAll('"#/', '"doc#/')))

  it('have valid schemas', () => {
    for (const name of Object.keys(schemas)) ajv.compile({ $ref: `doc#/components/schemas/${name}` })
  })

  it.each(messages.filter(([, { contentType }]) => contentType === 'application/json'))(
    'have examples that fit: %s',
    (_name, message) => {
      const validate = validatorOf(message)
      const { examples = [] } = message
      expect(examples).not.toEqual([])
      for (const { payload } of examples) {
        expect([payload, validate(payload)]).toEqual([payload, true])
        // No field more, and none of another frame.
        expect(validate({ ...(payload as object), gossip: 1 })).toBe(false)
      }
    },
  )
})
