/** What stands in paths and query strings: partition ids, vCPUs, numbers as text. */
import { z } from 'zod'
import { SINT_COUNT } from '../hv/registers.js'
import { NAME_PATTERN, U32_MAX, U64_PATTERN, U64_RULE, U64_TEXT_MAX } from './wire.js'

/** An integer written in decimal, as paths and queries have it; documented as the integer it becomes. */
export function integerText(min: number, max: number) {
  const error = `an integer from ${min} to ${max}`
  return z
    .string({ error })
    .regex(/^(?:0|[1-9]\d{0,15})$/, { error })
    .transform(Number)
    .pipe(z.int({ error }).min(min, { error }).max(max, { error }))
}

export function booleanText() {
  const error = 'true or false'
  return z
    .enum(['true', 'false'], { error })
    .transform((text) => text === 'true')
    .pipe(z.boolean())
}

const GPA_RULE = `${U64_RULE}, as text`
/** A guest physical address in a path: hex, or decimal digits. */
const Gpa = z
  .string({ error: GPA_RULE })
  .max(U64_TEXT_MAX, { error: GPA_RULE })
  .refine((text) => parseGpa(text) !== undefined, { error: GPA_RULE })
  .meta({ examples: ['0x1000'] })

/** The address a path names, or undefined. */
export function parseGpa(text: string): bigint | undefined {
  if (U64_PATTERN.test(text)) return BigInt(text)
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? BigInt(text) : undefined
}

/** Any text is looked up: one that can be no id is simply no partition. */
const pid = z.string().meta({ description: 'Partition id.', pattern: NAME_PATTERN.source, examples: ['p1'] })
const vp = integerText(0, U32_MAX).meta({ description: 'vCPU.', examples: [0] })
const sint = integerText(0, SINT_COUNT - 1).meta({ examples: [2] })
const u32 = integerText(0, U32_MAX)

export const PartitionPath = z.strictObject({ pid })
export const VcpuPath = z.strictObject({ pid, vp })
export const MsrPath = z.strictObject({
  pid,
  vp,
  msr: z
    .string()
    .max(U64_TEXT_MAX)
    .meta({
      description: 'Index, such as `0x40000083`, or name, such as `SIMP`.',
      examples: ['SIMP'],
    }),
})
export const SintPath = z.strictObject({ pid, vp, sint })
export const FlagPath = z.strictObject({ pid, vp, sint, flag: integerText(0, 2047).meta({ examples: [7] }) })
export const GsiPath = z.strictObject({ pid, gsi: u32.meta({ examples: [5] }) })
export const PortPath = z.strictObject({ pid, port: u32.meta({ examples: [1] }) })
export const ConnectionPath = z.strictObject({ pid, connection: u32.meta({ examples: [1] }) })
export const GpaPath = z.strictObject({ pid, gpa: Gpa })
