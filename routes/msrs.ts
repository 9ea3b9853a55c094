/** MSRs of one vCPU: list, read, write. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { registerHint } from '../src/api/did-you-mean.js'
import { MSR_WRITE } from '../src/api/op-routes.js'
import { listMsrs, readMsr, writeMsr } from '../src/api/operations/vcpus.js'
import { MSR_RULE, parseMsr } from '../src/api/wire.js'
import { EngineError } from '../src/engine/errors.js'
import { readRegister, readRegisters } from '../src/engine/inspect.js'
import { numberOf, type RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router } from './typed.js'

/** The register a path names: by name, in hex, or in decimal digits. */
function msrOf(request: FastifyRequest): number {
  const { msr: text } = request.params as { msr: string }
  const msr = parseMsr(/^\d{1,10}$/.test(text) ? Number(text) : text)
  if (msr !== undefined) return msr
  throw new EngineError('msr-not-found', `There is no MSR "${text}"${registerHint(text) || '.'}`, [
    { path: 'msr', message: `must be ${MSR_RULE}${registerHint(text)}` },
  ])
}

export default async function msrRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)

  router.on(listMsrs, ({ params, query }) =>
    readRegisters(service.get(params.pid), params.vp, query.by === 'host'),
  )

  router.on(readMsr, ({ params, query }, request) =>
    readRegister(service.get(params.pid), params.vp, msrOf(request), query.by === 'host'),
  )

  singleOp(router, parts, writeMsr, MSR_WRITE, (request) => ({
    vcpu: numberOf(request, 'vp'),
    msr: msrOf(request),
  }))
}
