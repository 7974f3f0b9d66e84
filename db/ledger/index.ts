/**
 * The transactions that keep the ledger. Each locks the order's row first, then decides, then writes by
 * compare-and-set, with the event that records the change and the message to the order service.
 */
export * from './billing';
export * from './closing';
export { heldOrder, unknownOrder, unknownPayment, unknownRefund } from './errors';
export * from './opening';
export * from './recorded';
export * from './recording';
export * from './refunding';
export * from './require';
export * from './reviewing';
