export * from './checks';
export * from './run';
export * from './violations';
export * from './evidence';
