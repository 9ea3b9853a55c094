// What `synicd audit` found, as its JSON document has it.
import { z } from 'zod'
import { violationFields } from '../api/violation.js'

const line = z.int().min(1)
const seconds = z.number().meta({ description: 'Seconds since boot; of kernel events.' })

/** A violation, with the lines of the recording that it speaks of. */
export const AuditFinding = z.strictObject({
  line,
  seq: z.int().min(1).optional().meta({ description: 'The number the trace gives the op.' }),
  time: seconds.optional(),
  vcpu: z.int().min(0).optional(),
  ...violationFields,
  uncertain: z.string().optional().meta({
    description: 'Why it is no error, and may be nothing at all: what the recording does not tell.',
  }),
  other_line: line.optional().meta({ description: 'Where the earlier op stands that it collides with.' }),
  other_time: seconds.optional(),
})
export type AuditFinding = z.infer<typeof AuditFinding>

const count = z.int().min(0)
const counts = z.strictObject({ errors: count, notes: count })

export const AuditReport = z.strictObject({
  file: z.string(),
  source: z.enum(['trace', 'host', 'guest']),
  profile: z.string().optional(),
  kind: z.string().optional(),
  replayed: count.meta({ description: 'Ops of a trace, lines of kernel events.' }),
  ...counts.shape,
  findings: z.array(AuditFinding).meta({ description: 'In the order of the recording.' }),
  not_listed: counts.meta({ description: 'Found beyond the bound on the list.' }),
  certainty: z.enum(['exact', 'lowered']),
  uncertain: z.array(z.strictObject({ what: z.string(), count, first_line: line })),
  warnings: z.array(z.string()).meta({ description: 'What was asked for and cannot have been meant so.' }),
  checked: z.array(
    z.strictObject({
      rule: z.string(),
      invariant: z.string(),
      holds: z.string(),
      uncertain: z.string().optional().meta({ description: 'Why all that it found is uncertain.' }),
    }),
  ),
  not_checked: z.array(z.strictObject({ rule: z.string(), invariant: z.string(), why: z.string() })),
})
export type AuditReport = z.infer<typeof AuditReport>
