/**
 * Everything that workflows and their callers exchange: names, ids, inputs, results, and the activities' signatures.
 * This folder imports nothing from outside, so checkout code, workflow code and the tests of a worker in another
 * language can all share it.
 */
export * from './names';
export * from './payment';
export * from './order';
export * from './refund';
export * from './sweep';
export * from './follow-up';
export * from './bill';
export * from './audit';
export * from './activities';
