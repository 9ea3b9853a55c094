/** What a partition keeps in tables: MSRs, routes, ports, connections; and its clock. */
import { z } from 'zod'
import { REFERENCE_TIME_MAX } from '../hv/limits.js'
import { DOORBELL_BYTES, PORT_TYPES, RouteEntry } from './op.js'
import { CLOCKS } from './partition.js'
import { U64Out } from './wire.js'

const MsrReading = z
  .object({
    msr: U64Out,
    name: z.string(),
    ok: z.boolean(),
    value: U64Out.optional(),
    fault: z.enum(['gp', 'ud']).optional(),
    errno: z.int().negative().optional(),
  })
  .meta({ id: 'MsrReading', description: 'A register by number and name, and what reading it gives.' })

export const MsrList = z.object({ items: z.array(MsrReading) }).meta({ id: 'MsrList' })

export const Routes = z.object({ entries: z.array(RouteEntry) }).meta({ id: 'Routes' })

const PortView = z
  .object({
    port: z.int().min(0),
    type: z.enum(PORT_TYPES),
    vcpu: z.int().min(0).optional().meta({ description: 'VP index; absent = any vCPU.' }),
    sint: z.int().min(0).max(15),
    flag_base: z.int().min(0),
    flag_count: z.int().min(0),
  })
  .meta({ id: 'Port' })
export const PortList = z.object({ items: z.array(PortView) }).meta({ id: 'PortList' })

const ConnectionView = z
  .object({
    connection: z.int().min(0),
    port: z.int().min(0),
    gpa: U64Out.optional().meta({ description: 'Doorbells: the address a store must hit.' }),
    value: U64Out.optional().meta({ description: 'Doorbells: the value stored; absent = any.' }),
    len: z.literal(DOORBELL_BYTES).optional().meta({ description: 'Doorbells: width; absent = any.' }),
  })
  .meta({ id: 'Connection' })
export const ConnectionList = z.object({ items: z.array(ConnectionView) }).meta({ id: 'ConnectionList' })

export const ClockView = z
  .object({
    now: z.int().min(0).max(REFERENCE_TIME_MAX).meta({ description: 'Reference time, 100 ns ticks.' }),
    clock: z.enum(CLOCKS),
    next_due: z.number().nullable().meta({ description: 'When the next timer fires; null = none runs.' }),
  })
  .meta({ id: 'Clock' })
export type ClockView = z.infer<typeof ClockView>
