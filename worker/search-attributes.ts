import type { ConnectionLike } from '@temporalio/client';
import { isGrpcServiceError } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { ExponentialBackoff, handleWhen, retry } from 'cockatiel';
import { CODES, codeOf } from '../activities/temporal-calls';
import { PaymentError } from '../workflows/errors';
import { SEARCH_ATTRIBUTES } from '../workflows/messages';
import type { Logger } from './log';

export const KEYWORD = temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;

/** The services that list and register search attributes. */
export type AttributeServices = Pick<ConnectionLike, 'workflowService' | 'operatorService'>;

/** The state of a namespace's search attributes for payments. */
interface FoundAttributes {
  /** Not registered, or of a type that cannot hold words. */
  missing: string[];
  /** Registered with a type other than Keyword. */
  odd: string[];
  /** Others of type Keyword; undefined if the server does not let us list them. */
  others?: string[];
}

/**
 * Which search attributes a namespace does not have. Temporal Cloud refuses its operator service to workers; after a
 * refusal, each attribute is tried in a count: a query that names an unknown one is invalid.
 *
 * @returns undefined if the namespace refuses both
 */
export async function findSearchAttributes(
  connection: AttributeServices,
  namespace: string,
): Promise<FoundAttributes | undefined> {
  const names = Object.values(SEARCH_ATTRIBUTES);
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = names.filter((name) => !(name in customAttributes));
    const odd = names.filter((name) => !missing.includes(name) && customAttributes[name] !== KEYWORD);
    const others = Object.keys(customAttributes).filter(
      (name) => customAttributes[name] === KEYWORD && !(names as readonly string[]).includes(name),
    );
    return { missing, odd, others };
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
  try {
    const known = await Promise.all(names.map((name) => isSearchable(connection, namespace, name)));
    return { missing: names.filter((_, number) => !known[number]), odd: [] };
  } catch (error) {
    if (codeOf(error) === CODES.permissionDenied) return undefined;
    throw error;
  }
}

/** Several workers that start together may collide, and a new server is not ready at once. */
export const again = retry(
  handleWhen((error) => !(error instanceof PaymentError)),
  { maxAttempts: 4, backoff: new ExponentialBackoff({ initialDelay: 250, maxDelay: 2_000 }) },
);

/**
 * Registers the search attributes that a namespace does not have: upserting one that is not registered fails every
 * workflow task. Several workers that start together may collide, so a failure is checked again.
 *
 * If there is no room for them, it logs an alert, and payments continue without them.
 *
 * @throws PaymentError CONFIG_INVALID if some are missing and this worker may not register them, as on Temporal Cloud
 */
export async function registerSearchAttributes(
  connection: AttributeServices,
  namespace: string,
  log: Logger,
): Promise<void> {
  await again.execute(() => registerMissing(connection, namespace, log));
}

async function registerMissing(connection: AttributeServices, namespace: string, log: Logger): Promise<void> {
  const found = await findSearchAttributes(connection, namespace);
  if (!found) {
    log.warn(
      { namespace },
      `could not check whether the search attributes are registered; if they are not, run: ${howToRegister(namespace, Object.values(SEARCH_ATTRIBUTES))}`,
    );
    return;
  }
  const { missing } = found;
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (cause) {
    if (isFull(cause)) {
      const says = noRoom(namespace, missing, found.others ?? []);
      log.error({ namespace, missing, code: 'SEARCH_ATTRIBUTES_FULL', alert: true }, says);
      return;
    }
    if (!isRefused(cause)) throw cause;
    throw new PaymentError(
      'CONFIG_INVALID',
      `Namespace ${namespace} lacks the search attributes ${missing.join(', ')}, and this worker may not register ` +
        `them. Run: ${howToRegister(namespace, missing)}`,
      { cause },
    );
  }
  log.info({ namespace, missing }, 'search attributes registered');
}

/** Whether the server refuses its operator service, to us or to everybody. */
function isRefused(error: unknown): boolean {
  const code = codeOf(error);
  return code === CODES.permissionDenied || code === CODES.unimplemented || code === CODES.unauthenticated;
}

/** Whether the namespace already has as many Keyword attributes as its server allows, ten by default. */
export const isFull = (error: unknown): boolean =>
  isGrpcServiceError(error) && /cannot have more than \d+ search attribute/i.test(error.details);

/** What is wrong in a full namespace, and what to do. */
export function noRoom(namespace: string, missing: readonly string[], names: readonly string[]): string {
  return (
    `Namespace ${namespace} has no room for the search attributes ${missing.join(', ')}: it has all the Keywords that its ` +
    `server allows (${names.join(', ')}). Payments still work, but no list of workflows finds them. Remove one that nobody uses: ` +
    `temporal operator search-attribute remove --namespace ${namespace} --name <name>; or use a separate namespace`
  );
}

/** What somebody who may register them must do, on their own server and on Temporal Cloud. */
export function howToRegister(namespace: string, missing: readonly string[]): string {
  const names = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
  const pairs = missing.map((name) => `--search-attribute "${name}=Keyword"`).join(' ');
  return (
    `temporal operator search-attribute create --namespace ${namespace} ${names}; ` +
    `on Temporal Cloud: tcld namespace search-attributes add --namespace ${namespace} ${pairs}`
  );
}

async function isSearchable(
  { workflowService }: AttributeServices,
  namespace: string,
  name: string,
): Promise<boolean> {
  try {
    await workflowService.countWorkflowExecutions({ namespace, query: `${name} = 'none'` });
    return true;
  } catch (error) {
    if (codeOf(error) === CODES.invalidArgument) return false;
    throw error;
  }
}
