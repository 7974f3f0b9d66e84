/**
 * Everything that is said to, by and about the workflows: names, ids, inputs, results, and the activities' signatures. This
 * folder imports nothing from outside, so that checkout code, a worker in another language's tests and workflow code can all
 * share it.
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
