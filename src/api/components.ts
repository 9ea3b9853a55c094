/** Zod schemas as JSON Schema, with the named ones collected: what openapi.yaml and asyncapi.yaml share. */
import { z } from 'zod'

export type Json = Record<string, unknown>

/** Schemas met so far that have a name: they become components. */
export class Components {
  readonly schemas: Record<string, Json> = {}

  /** A schema as JSON Schema 2020-12; named ones inside it become references. */
  json(schema: z.ZodType, io: 'input' | 'output'): Json {
    // Wrapped, so that the schema itself is a reference too if it has a name.
    const wrapper = z.toJSONSchema(z.object({ it: schema }), { io, unrepresentable: 'any' }) as Json
    const moved = JSON.parse(JSON.stringify(wrapper).replaceAll('#/$defs/', '#/components/schemas/')) as Json
    for (const [name, { id: _id, ...definition }] of Object.entries(
      (moved.$defs ?? {}) as Record<string, Json>,
    )) {
      this.#add(name, definition)
    }
    return (moved.properties as { it: Json }).it
  }

  /** All of them, by name. */
  sorted(): Record<string, Json> {
    return Object.fromEntries(Object.entries(this.schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** A name means one schema, whether it comes in or goes out. */
  #add(name: string, definition: Json): void {
    const known = this.schemas[name]
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(definition)) {
      throw new Error(`two schemas are called ${name}`)
    }
    this.schemas[name] = definition
  }
}
