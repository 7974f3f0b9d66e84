import { ActivityFailure, ApplicationFailure, isCancellation } from '@temporalio/workflow';
import type { ErrorCode } from './errors';

/** The type of the ApplicationFailure behind whatever an activity threw; undefined for a time-out, for example. */
export function failureType(error: unknown): string | undefined {
  const failure = error instanceof ActivityFailure ? error.cause : error;
  return failure instanceof ApplicationFailure ? (failure.type ?? undefined) : undefined;
}

/** Whether retrying cannot help, so only the caller can decide. */
export function isFinal(error: unknown): boolean {
  const failure = error instanceof ActivityFailure ? error.cause : error;
  return isCancellation(error) || (failure instanceof ApplicationFailure && failure.nonRetryable === true);
}

/** A failure, from the closed set of codes, that ends a workflow or rejects a message. */
export function fail(type: ErrorCode, message: string): ApplicationFailure {
  return ApplicationFailure.create({ type, message, nonRetryable: true });
}

/** @throws ApplicationFailure INVALID_INPUT unless `holds` */
export function requireInput(holds: boolean, message: string): asserts holds {
  if (!holds) throw fail('INVALID_INPUT', message);
}

/**
 * The input, safe to read field by field: an operator may send nothing at all, or a bare string, and a TypeError would
 * make the workflow task retry for ever.
 */
export function fieldsOf<T extends object>(sent: T | null | undefined): { [K in keyof T]?: unknown } {
  return typeof sent === 'object' && sent !== null ? sent : {};
}

/** Whether it is a string of this form; a RegExp by itself would read `undefined` as a word. */
export function isLike(form: RegExp, value: unknown): value is string {
  return typeof value === 'string' && form.test(value);
}

/** Whether it is an integer, `least` or more. */
export function isCount(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}
