import { messageOf, redact } from '../../worker/log';
import type { ErrorCode } from '../../workflows/errors';
import { PaymentError } from '../../workflows/errors';

/** The exit codes. */
export const EXIT = {
  ok: 0,
  /** Something failed, orders failed in a sweep, the books disagree, or the doctor found a fault. */
  failure: 1,
  usage: 2,
  unknownId: 3,
  conflict: 4,
  dependencyDown: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** For the help. */
export const EXIT_HELP = `Exit codes:
  0  done
  1  failure: the sweep or some of its orders failed, a bill has open discrepancies, the books contradict themselves,
     or the doctor found a fault
  2  wrong usage, input or configuration
  3  unknown order, payment, refund, result, notification or sweep
  4  its state, or Alipay's answer, does not allow this (paid, closed, expired, held, not in review)
  5  the database, Temporal or Alipay does not respond, or it is too early: try again`;

/** Only the person who configures the environment can fix these. */
const CONFIGURATION: ReadonlySet<ErrorCode> = new Set([
  'CONFIG_INVALID',
  'PAYLOAD_KEY_UNKNOWN',
  'PAYLOAD_UNREADABLE',
]);

/** The exit code that fits an error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof PaymentError)) return EXIT.failure;
  if (CONFIGURATION.has(error.code)) return EXIT.usage;
  const byStatus: Record<number, ExitCode> = {
    400: EXIT.usage,
    404: EXIT.unknownId,
    409: EXIT.conflict,
    503: EXIT.dependencyDown,
  };
  return byStatus[error.status] ?? EXIT.failure;
}

/** An error's code and message, without secrets: a PaymentError holds none, other errors may. */
export function faultOf(error: unknown): { code: string; message: string } {
  if (error instanceof PaymentError) return { code: error.code, message: error.message };
  return { code: 'INTERNAL', message: error instanceof Error ? messageOf(error) : redact(String(error)) };
}
