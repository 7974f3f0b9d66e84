import { CODES, codeOf, hasStatus } from '../activities/temporal-calls';
import { PaymentError } from '../workflows/errors';
import { redact } from './redact';

interface TemporalFault {
  /** What happened, without a full stop. It contains no secret. */
  what: string;
  /** What to do, in whole sentences. */
  todo: string;
}

/**
 * Patterns for the code and message of an error from either of Temporal's clients; the first match counts. If its first
 * connection fails, the native client gives no code but gRPC's message.
 */
const SIGNS: readonly (readonly [sign: RegExp, what: (address: string) => string, todo: string])[] = [
  [
    /valid authentication credentials|^16 |unauthenticated/i,
    (address) =>
      `Temporal at ${address} refuses the API key or certificate: it is missing, wrong or has expired`,
    'Set the right TEMPORAL_API_KEY, or TEMPORAL_TLS_*.',
  ],
  [
    /does not have permission|^7 |permission_denied/i,
    (address) => `Temporal at ${address} gives this API key or certificate no rights here`,
    'Give it rights in this namespace, or set the right TEMPORAL_NAMESPACE, TEMPORAL_API_KEY or TEMPORAL_TLS_*.',
  ],
  [
    /ConnectionRefused|ECONNREFUSED/,
    (address) => `Nothing listens at ${address}`,
    'Start Temporal, or set the right TEMPORAL_ADDRESS.',
  ],
  [
    /dns error|ENOTFOUND|EAI_AGAIN|Name resolution failed/,
    (address) => `The host of ${address} cannot be resolved`,
    'Set the right host in TEMPORAL_ADDRESS, or fix DNS.',
  ],
  [
    /certificate|UnknownIssuer|AlertReceived|BadCertificate/i,
    (address) => `Temporal at ${address} or this process does not trust the other's certificate`,
    'Set the right TEMPORAL_TLS_*: its CA, our certificate and our key.',
  ],
  [
    /InvalidContentType|h2 protocol error|http2 error|wrong version number|Protocol error/i,
    (address) => `What listens at ${address} is not Temporal, or one side uses TLS and the other does not`,
    'Set or unset TEMPORAL_TLS, or set the right TEMPORAL_ADDRESS.',
  ],
];

/** What the server or its client says about a namespace that does not exist. */
const NO_NAMESPACE = /Namespace (?:not found: ')?(\S+?)(?:'$| is not found)/;

const UNREACHED: readonly number[] = [
  CODES.cancelled,
  CODES.unknown,
  CODES.deadlineExceeded,
  CODES.permissionDenied,
  CODES.resourceExhausted,
  // Also for a stream that broke.
  CODES.internal,
  CODES.unavailable,
  CODES.unauthenticated,
];

const LONGEST_MESSAGE = 300;

/** The SDK wraps gRPC's error. */
const saidIn = (error: unknown): unknown => (error as { cause?: unknown } | null)?.cause ?? error;

const messageOf = (error: unknown): string => {
  const said = saidIn(error);
  return redact(said instanceof Error ? said.message : String(said)).slice(0, LONGEST_MESSAGE);
};

/** Whether the fault is Temporal's, not the call's: nobody responds, access is denied, or the namespace is missing. */
export const isTemporalFault = (error: unknown): boolean =>
  hasStatus(error, UNREACHED) || NO_NAMESPACE.test(messageOf(error));

export const noNamespace = (namespace: string): TemporalFault => ({
  what: `There is no namespace ${namespace}`,
  todo: `Run: temporal operator namespace create --namespace ${namespace} --retention 3d. Or correct TEMPORAL_NAMESPACE.`,
});

/** Why Temporal cannot be reached, if the client's error matches a pattern. */
export function knownTemporalFault(error: unknown, address: string): TemporalFault | undefined {
  const message = `${codeOf(saidIn(error)) ?? ''} ${messageOf(error)}`.trimStart();
  const namespace = NO_NAMESPACE.exec(message)?.[1];
  if (namespace !== undefined) return noNamespace(namespace);
  const known = SIGNS.find(([sign]) => sign.test(message));
  return known && { what: known[1](address), todo: known[2] };
}

/** Why Temporal cannot be reached; without a matching pattern, what the client says. */
export function temporalFault(error: unknown, address: string): TemporalFault {
  return (
    knownTemporalFault(error, address) ?? {
      what: `Temporal does not answer at ${address}: ${messageOf(error)}`,
      todo: 'Start it, or set the right TEMPORAL_ADDRESS (and TEMPORAL_TLS_*, TEMPORAL_API_KEY if it needs them).',
    }
  );
}

/** The same as an error of the public interface, with its cause. */
export function temporalError(error: unknown, address: string): PaymentError {
  const { what, todo } = temporalFault(error, address);
  return new PaymentError('TEMPORAL_UNAVAILABLE', `${what}. ${todo}`, { cause: error });
}
