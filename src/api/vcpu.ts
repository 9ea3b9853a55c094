/** One vCPU decoded for people: SINT bits by name, slot states, flags set, timers, local APIC. */
import { z } from 'zod'
import { SINT_COUNT, STIMER_COUNT } from '../hv/registers.js'
import { Apicv } from './partition.js'
import { U64Out } from './wire.js'

const Vcpu = z.int().min(0)
const Vector = z.int().min(0).max(255)
const Sint = z
  .int()
  .min(0)
  .max(SINT_COUNT - 1)

const PageView = z
  .object({
    value: U64Out,
    enabled: z.boolean().meta({ description: 'Bit 0. While it is clear the guest has no such page.' }),
    gpa: U64Out,
    readable: z.boolean().meta({ description: 'There is memory at this address.' }),
  })
  .meta({ id: 'SynicPage', description: 'SIMP, SIEFP or SIRBP.' })

const SintView = z
  .object({
    sint: Sint,
    value: U64Out,
    vector: Vector,
    masked: z.boolean(),
    auto_eoi: z.boolean(),
    polling: z.boolean(),
    as_intercept: z.boolean(),
    proxy: z.boolean(),
    gsi: z.int().min(0).nullable().meta({ description: 'GSI that hears of acknowledgements (KVM).' }),
  })
  .meta({ id: 'Sint' })

const SlotView = z
  .object({
    sint: Sint,
    state: z.enum(['empty', 'full']),
    type: U64Out,
    type_name: z.string().optional().meta({ description: 'Absent for a type without a known name.' }),
    payload_size: z.int().min(0).max(255),
    pending: z.boolean().meta({ description: 'More waits for this SINT: the guest must write EOM.' }),
    flags: z.int().min(0).max(255),
    sender: U64Out,
    hex: z.string().meta({ description: 'The payload.' }),
    waiting: z.int().min(0).meta({ description: 'Messages queued behind the slot.' }),
  })
  .meta({ id: 'MessageSlot' })

const FlagsView = z
  .object({ sint: Sint, flags: z.array(z.int().min(0).max(2047)) })
  .meta({ id: 'EventFlags', description: 'Flags set of one SINT, ascending.' })

/** Why a list may be empty: the members that say so. */
const withoutPage = (register: string) =>
  `while \`${register}.enabled\` or \`${register}.readable\` is false, for then the guest has no page`

export const SynicView = z
  .object({
    active: z.boolean(),
    enabled: z.boolean().meta({ description: 'SCONTROL bit 0.' }),
    scontrol: U64Out,
    sversion: U64Out,
    simp: PageView,
    siefp: PageView,
    sirbp: PageView.optional(),
    sints: z.array(SintView).length(SINT_COUNT),
    slots: z.array(SlotView).meta({ description: `All sixteen; none ${withoutPage('simp')}.` }),
    events: z.array(FlagsView).meta({ description: `SINTs with a flag set; none ${withoutPage('siefp')}.` }),
  })
  .meta({ id: 'Synic' })
export type SynicView = z.infer<typeof SynicView>

const TimerView = z
  .object({
    timer: z
      .int()
      .min(0)
      .max(STIMER_COUNT - 1),
    config: U64Out,
    count: U64Out,
    enabled: z.boolean(),
    periodic: z.boolean(),
    lazy: z.boolean(),
    auto_enable: z.boolean(),
    direct: z.boolean(),
    vector: Vector.optional().meta({ description: 'Direct mode.' }),
    sint: Sint.optional().meta({ description: 'Message mode.' }),
    expiration: U64Out.meta({ description: 'Next or last due time; 0x0 = not started.' }),
    due: z.number().nullable().meta({ description: 'When it fires next; null while it does not run.' }),
    waiting: z.boolean().meta({ description: 'An expiry waits for an acknowledgement or a free slot.' }),
  })
  .meta({ id: 'Stimer' })

const ApicView = z
  .object({
    enabled: z.boolean(),
    tpr: z.int().min(0).max(255),
    irr: z.array(Vector).meta({ description: 'Requested vectors.' }),
    isr: z.array(Vector).meta({ description: 'Vectors in service.' }),
    deliverable: z.int().min(-1).max(255).meta({ description: 'What `ack` would take; -1 = none.' }),
  })
  .meta({ id: 'LocalApic' })

const summary = {
  vcpu: Vcpu,
  vp_index: Vcpu,
  online: z.boolean(),
  halted: z.boolean(),
  active: z.boolean().meta({ description: 'Its SynIC is activated.' }),
}
const VcpuSummary = z.object(summary).meta({ id: 'VcpuSummary' })
export const VcpuList = z.object({ items: z.array(VcpuSummary) }).meta({ id: 'VcpuList' })
export const VcpuView = z
  .object({
    ...summary,
    wake_pending: z.boolean().meta({ description: 'A wake is kept for the next halt.' }),
    synic: SynicView,
    nested: SynicView.optional().meta({ description: 'The second register file of a nested root.' }),
    timers: z.array(TimerView).length(STIMER_COUNT),
    apic: ApicView,
    apicv: Apicv,
  })
  .meta({ id: 'Vcpu' })
export type VcpuView = z.infer<typeof VcpuView>

export const MessagesView = z
  .object({
    page: PageView.meta({ description: 'SIMP.' }),
    slots: z.array(SlotView).meta({ description: `All sixteen; none ${withoutPage('page')}.` }),
  })
  .meta({ id: 'Messages', description: 'The message page, decoded.' })
export type MessagesView = z.infer<typeof MessagesView>

export const EventsView = z
  .object({
    page: PageView.meta({ description: 'SIEFP.' }),
    sints: z.array(FlagsView).meta({ description: `SINTs with a flag set; none ${withoutPage('page')}.` }),
  })
  .meta({ id: 'Events', description: 'The event-flags page, decoded.' })
export type EventsView = z.infer<typeof EventsView>
