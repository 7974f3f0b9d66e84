import { ApplicationFailure, DefaultFailureConverter } from '@temporalio/common';
import type { ErrorCode } from './errors';

/** What a person must read who lacks the key. Their messages hold names of keys and nothing else. */
const ABOUT_KEYS: ReadonlySet<unknown> = new Set<ErrorCode>(['PAYLOAD_KEY_UNKNOWN', 'PAYLOAD_UNREADABLE']);

/** A failure's message and stack go where the payload codec reaches them; its type stays in clear. */
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

/** Temporal's SDK loads it by this name, in the worker and in the workflows' sandbox, where `PAYLOAD_KEYS` is set. */
export const failureConverter = new EncryptedFailureConverter();
