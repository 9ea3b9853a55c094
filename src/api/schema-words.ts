/** Schemas in words: which one stands at a path, and the rule that a value of it has to fit. */
import { z } from 'zod'
import { HEX_PATTERN, NAME_PATTERN, NAME_RULE, U64_OUT_PATTERN, U64_PATTERN, U64_RULE } from './wire.js'

/** The schema of what stands at a path, without what makes it optional; undefined where there is none. */
export function schemaAt(schema: unknown, path: readonly PropertyKey[]): z.ZodType | undefined {
  if (schema instanceof z.ZodOptional) return schemaAt(schema.unwrap(), path)
  const [key, ...rest] = path
  if (key === undefined) return schema instanceof z.ZodType ? schema : undefined
  if (schema instanceof z.ZodNullable) return schemaAt(schema.unwrap(), path)
  if (schema instanceof z.ZodObject) return schemaAt(schema.shape[String(key)], rest)
  if (schema instanceof z.ZodArray) return schemaAt(schema.element, rest)
  if (schema instanceof z.ZodRecord) return schemaAt(schema.valueType, rest)
  return undefined
}

/** What a pattern means, by its source. */
const PATTERN_RULES: ReadonlyMap<string, string> = new Map([
  [U64_PATTERN.source, U64_RULE],
  [U64_OUT_PATTERN.source, 'a u64 as text: "0x" and up to 16 hex digits, lower-case, no leading zeros'],
  [HEX_PATTERN.source, 'hex text without "0x", two digits a byte'],
  [NAME_PATTERN.source, NAME_RULE],
])

/** @param pattern as zod tells it, between slashes */
export function patternRule(pattern: string): string {
  return PATTERN_RULES.get(pattern.slice(1, pattern.lastIndexOf('/'))) ?? `a text that fits ${pattern}`
}

function numberWords({ isInt, minValue, maxValue }: z.ZodNumber): string {
  const min = minValue ?? -Infinity
  const max = maxValue ?? Infinity
  const from = min > Number.MIN_SAFE_INTEGER ? ` from ${min}` : ''
  const to = max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : ''
  return `${isInt ? 'an integer' : 'a number'}${from}${to}`
}

/** `an integer from 0 to 15`, `true or false`; undefined where a schema says too much for a line. */
export function wordsOf(schema: unknown): string | undefined {
  if (schema instanceof z.ZodOptional) return wordsOf(schema.unwrap())
  if (schema instanceof z.ZodNumber) return numberWords(schema)
  if (schema instanceof z.ZodString) return 'a text'
  if (schema instanceof z.ZodBoolean) return 'true or false'
  if (schema instanceof z.ZodLiteral) return choiceOf([...schema.values])
  if (schema instanceof z.ZodEnum) return choiceOf(schema.options)
  if (schema instanceof z.ZodArray) return 'a list'
  if (schema instanceof z.ZodObject || schema instanceof z.ZodRecord) return 'an object'
  if (schema instanceof z.ZodNull) return 'null'
  const forms =
    schema instanceof z.ZodUnion
      ? schema.options.map(wordsOf)
      : schema instanceof z.ZodNullable
        ? [wordsOf(schema.unwrap()), 'null']
        : []
  return forms.length === 0 || forms.includes(undefined) ? undefined : forms.join(' or ')
}

/** Values that are allowed: one is said as it is. */
export function choiceOf(values: readonly unknown[]): string {
  return values.length === 1 ? JSON.stringify(values[0]) : `one of ${values.map(String).join(', ')}`
}
