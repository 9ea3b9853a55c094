/** What the auditor found in a partition. */
import type { FastifyInstance } from 'fastify'
import { listViolations } from '../src/api/operations/audit.js'
import { cursorAfter, PAGE_LIMIT_DEFAULT } from '../src/api/paging.js'
import { violationView } from '../src/api/violation.js'
import { type RouteParts, serialAfter } from './parts.js'
import { Router } from './typed.js'

export default async function violationRoutes(app: FastifyInstance, parts: RouteParts) {
  new Router(app, parts.meter).on(listViolations, ({ params, query }) => {
    const { audit } = parts.service.get(params.pid)
    const { severity, settled = false, limit = PAGE_LIMIT_DEFAULT, cursor } = query
    const fits = (violation: { severity: string }) =>
      severity === undefined || violation.severity === severity
    const { items, next } = audit.page(serialAfter(cursor), limit, fits)
    // What holds as of now belongs behind all that was found: it comes with the last page.
    const pending = settled && next === undefined ? audit.settle().filter(fits) : []
    return {
      audit: audit.mode,
      items: [...items, ...pending].map(violationView),
      total: audit.total,
      ...(next === undefined ? {} : { next_cursor: cursorAfter(next) }),
    }
  })
}
