/** The routes that are one op each: their bodies. */
import { opRoute } from './op-route.js'

export const MSR_WRITE = opRoute('msr.write', ['vcpu', 'msr'], 'MsrWrite')
export const MESSAGE_POST = opRoute('message.post', ['vcpu'], 'MessagePost')
export const MESSAGE_COMPLETE = opRoute('message.complete', ['vcpu', 'sint'], 'MessageComplete')
export const EVENT_SIGNAL = opRoute('event.signal', ['vcpu'], 'EventSignal')
export const APIC_ACK = opRoute('apic.ack', ['vcpu'], 'ApicAck')
export const APIC_EOI = opRoute('apic.eoi', ['vcpu'], 'ApicEoi')
export const GSI_ASSERT = opRoute('gsi.assert', ['gsi'], 'GsiAssert')
export const GSI_ROUTE = opRoute('gsi.route', [], 'GsiRoutes')
export const IRQFD_BIND = opRoute('irqfd.bind', ['gsi'], 'IrqfdBind')
export const PORT_CREATE = opRoute('port.create', [], 'PortCreate')
export const CONNECTION_CREATE = opRoute('connection.create', [], 'ConnectionCreate')
export const CLOCK_ADVANCE = opRoute('clock.advance', [], 'ClockAdvance')

/** All of them with what the path says, for the test that holds schema and hand check together. */
export const OP_ROUTES = [
  { name: 'msr.write', route: MSR_WRITE, path: { vcpu: 0, msr: 0x4000_0083 } },
  { name: 'message.post', route: MESSAGE_POST, path: { vcpu: 0 } },
  { name: 'message.complete', route: MESSAGE_COMPLETE, path: { vcpu: 0, sint: 2 } },
  { name: 'event.signal', route: EVENT_SIGNAL, path: { vcpu: 0 } },
  { name: 'apic.ack', route: APIC_ACK, path: { vcpu: 0 } },
  { name: 'apic.eoi', route: APIC_EOI, path: { vcpu: 0 } },
  { name: 'gsi.assert', route: GSI_ASSERT, path: { gsi: 5 } },
  { name: 'gsi.route', route: GSI_ROUTE, path: {} },
  { name: 'irqfd.bind', route: IRQFD_BIND, path: { gsi: 5 } },
  { name: 'port.create', route: PORT_CREATE, path: {} },
  { name: 'connection.create', route: CONNECTION_CREATE, path: {} },
  { name: 'clock.advance', route: CLOCK_ADVANCE, path: {} },
] as const
