/** openapi.yaml is what the code says, every operation in it is served, and nothing else is. */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { openapiYaml } from '../../routes/contract.js'
import { fastifyPath } from '../../routes/typed.js'
import { OPERATIONS } from '../../src/api/operations/all.js'
import { testApp } from '../support/app.js'
import { inject, send } from '../support/contract.js'
import { brokenReferences } from '../support/references.js'

const committed = readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')
const document = parse(committed)

describe('openapi.yaml', async () => {
  const test = await testApp()

  it('is up to date', () => {
    expect(committed === openapiYaml(), 'openapi.yaml differs from the code: run `npm run openapi`').toBe(
      true,
    )
  })

  it('is what the server serves, also to a browser', async () => {
    const reply = await test.get('/openapi.yaml')
    expect(reply.text).toBe(committed)
    const page = await test.get('/docs')
    expect(page.text).toContain('swagger-ui')
    expect((await inject(test.app, 'GET', '/docs/json')).body).toEqual(document)
    const script = /src="([^"]*swagger-ui-bundle\.js)"/.exec(page.text)?.[1] ?? ''
    expect((await inject(test.app, 'GET', script)).status).toBe(200)
    // Nothing on the page comes from another server.
    expect(page.text).not.toMatch(/(?:src|href)="https?:/)
  })

  it.each([
    ['Messages', 'slots', 'page'],
    ['Events', 'sints', 'page'],
    ['Synic', 'slots', 'simp'],
    ['Synic', 'events', 'siefp'],
  ])('says of %s which members tell why there are no %s', (schema, list, page) => {
    const { properties } = document.components.schemas[schema]
    expect(properties[list].description).toContain(`\`${page}.enabled\` or \`${page}.readable\``)
    expect(document.components.schemas.SynicPage.required).toEqual(
      expect.arrayContaining(['enabled', 'readable']),
    )
    expect(properties[page].$ref).toBe('#/components/schemas/SynicPage')
  })

  it('lists every route', () => {
    for (const { method, path } of OPERATIONS) {
      expect(document.paths[path][method.toLowerCase()].operationId).toMatch(/^[a-z]\w+$/)
      if (path !== '/docs') expect(test.app.hasRoute({ method, url: fastifyPath(path) })).toBe(true)
    }
  })

  it('names each operation and each parameter once', () => {
    const ids = OPERATIONS.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { path, params } of OPERATIONS) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      expect(Object.keys(params?.shape ?? {})).toEqual(names)
    }
  })

  it('refers only to what is there', () => {
    expect(brokenReferences(document)).toEqual([])
    expect(brokenReferences({ a: [{ $ref: '#/b' }] })).toEqual(['#/b'])
  })

  it('holds valid schemas, whose examples fit them', () => {
    const ajv = new Ajv2020({ strict: false })
    addFormats.default(ajv)
    const schemas = JSON.parse(JSON.stringify(document.components.schemas), (key, value) =>
      key === 'mapping' ? undefined : value,
    )
    ajv.addSchema({ $id: 'doc', components: { schemas } })
    for (const [name, schema] of Object.entries<{ examples?: unknown[] }>(schemas)) {
      const validate = ajv.compile({ $ref: `doc#/components/schemas/${name}` })
      for (const example of schema.examples ?? []) expect([name, validate(example)]).toEqual([name, true])
    }
  })
})

describe('the checking client', async () => {
  const test = await testApp()
  await test.create({ id: 'p1' })

  it('refuses a path and a method that the document does not have', async () => {
    await expect(send(test.app, 'GET', '/v2')).rejects.toThrow('not in openapi.yaml')
    await expect(send(test.app, 'DELETE', '/v1/partitions')).rejects.toThrow('not in openapi.yaml')
  })

  it('refuses a status, a content type and a body that the document does not have', async () => {
    const { app, service } = await testApp()
    let answer: [status: number, type: string, text: string] = [418, 'text/plain', '']
    app.addHook('onSend', async (_request, reply) => {
      reply.code(answer[0]).header('content-type', answer[1])
      return answer[2]
    })
    service.create({ id: 'p1' })
    await expect(send(app, 'GET', '/v1/partitions/p1')).rejects.toThrow('status 418')
    answer = [200, 'text/plain', '']
    await expect(send(app, 'GET', '/v1/partitions/p1')).rejects.toThrow('content type')
    answer = [200, 'application/json', '{"id":"p1"}']
    await expect(send(app, 'GET', '/v1/partitions/p1')).rejects.toThrow('required property')
  })
})
