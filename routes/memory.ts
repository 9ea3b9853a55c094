/** Guest memory as raw bytes. A scope of its own: here a body is bytes and nothing else. */
import type { FastifyInstance } from 'fastify'
import { BYTES_TYPE } from '../src/api/operation.js'
import { readMemory, writeMemory } from '../src/api/operations/devices.js'
import { parseGpa } from '../src/api/params.js'
import { InputError } from '../src/api/problem.js'
import { checkMemoryWrite, readMemory as read } from '../src/engine/inspect.js'
import type { RouteParts } from './parts.js'
import { Router } from './typed.js'

const PAGE_BYTES = 4096

export default async function memoryRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(BYTES_TYPE, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  const gpaOf = (text: string) => parseGpa(text) as bigint

  router.on(readMemory, ({ params, query }, _request, reply) => {
    const bytes = read(service.get(params.pid), gpaOf(params.gpa), query.len ?? PAGE_BYTES)
    reply.header('content-type', BYTES_TYPE)
    return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  })

  router.on(writeMemory, ({ params, query }, request) => {
    const host = service.get(params.pid)
    const bytes = request.body
    if (!(bytes instanceof Uint8Array) || bytes.length === 0) {
      throw new InputError([{ path: '', message: 'must be at least one byte' }])
    }
    const gpa = gpaOf(params.gpa)
    checkMemoryWrite(host, gpa, bytes.length)
    const { results } = host.writeMemory(gpa, bytes, query.actor)
    // Only a store as narrow as a doorbell has consequences, and that is one op.
    return results.length === 1 ? results[0] : '{"ok":true}'
  })
}
