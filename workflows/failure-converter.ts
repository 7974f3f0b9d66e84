import { ApplicationFailure, DefaultFailureConverter } from '@temporalio/common';
import type { ErrorCode } from './errors';

/** Errors that a person without the key must be able to read. Their messages contain only names of keys. */
const ABOUT_KEYS: ReadonlySet<unknown> = new Set<ErrorCode>(['PAYLOAD_KEY_UNKNOWN', 'PAYLOAD_UNREADABLE']);

/** Puts a failure's message and stack trace where the payload codec encrypts them; its type stays in clear text. */
class EncryptedFailureConverter extends DefaultFailureConverter {
  readonly #inClear = new DefaultFailureConverter();

  constructor() {
    super({ encodeCommonAttributes: true });
  }

  override errorToFailure(...[error, ...rest]: Parameters<DefaultFailureConverter['errorToFailure']>) {
    const { name, type = name } = error as { name?: string; type?: string };
    if (!ABOUT_KEYS.has(type)) return super.errorToFailure(error, ...rest);
    const failure = ApplicationFailure.create({ type, message: (error as Error).message });
    return { ...this.#inClear.errorToFailure(failure, ...rest), stackTrace: '' };
  }
}

/** Temporal's SDK loads it by this name, in the worker and in the workflow sandbox, if `PAYLOAD_KEYS` is set. */
export const failureConverter = new EncryptedFailureConverter();
