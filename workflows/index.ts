export * from './close-order';
export * from './confirm-payment';
export * from './follow-up';
export * from './fulfill-order';
export * from './sweep-expired-orders';
