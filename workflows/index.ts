export * from './audit-books';
export * from './close-order';
export * from './confirm-payment';
export * from './follow-up';
export * from './fulfill-order';
export * from './reconcile-bill';
export * from './refund-payment';
export * from './sweep-expired-orders';
