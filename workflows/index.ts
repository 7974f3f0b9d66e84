export * from './close-order';
export * from './confirm-payment';
export * from './fulfill-order';
export * from './sweep-expired-orders';
