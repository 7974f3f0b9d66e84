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

/** How a namespace stands with the search attributes of payments. */
interface FoundAttributes {
  /** Not registered, or of a type that takes no words. */
  missing: string[];
  /** Registered, and of another type than Keyword. */
  odd: string[];
  /** Others of type Keyword; undefined where that may not be asked. */
  others?: string[];
}

/**
 * Which search attributes a namespace lacks. Temporal Cloud refuses its operator service to workers, so where that is
 * refused each attribute is tried in a count: a query that names an unknown one is invalid.
 *
 * @returns undefined where the namespace may not be asked in either way
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

/** Several workers that start together may get into each other's way, and a new server is not ready at once. */
export const again = retry(
  handleWhen((error) => !(error instanceof PaymentError)),
  { maxAttempts: 4, backoff: new ExponentialBackoff({ initialDelay: 250, maxDelay: 2_000 }) },
);

/**
 * Registers the search attributes that a namespace lacks: upserting one that is not registered fails every workflow task.
 * Several workers that start together may get into each other's way, so what fails is looked at again.
 *
 * Where there is no room for them, an alert says so and payments go on without.
 *
 * @throws PaymentError CONFIG_INVALID where they lack and this worker may not register them, as on Temporal Cloud
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
      `whether the search attributes are registered could not be asked; where they are not: ${howToRegister(namespace, Object.values(SEARCH_ATTRIBUTES))}`,
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

/** Whether the server refuses its operator service to us, or to everybody. */
function isRefused(error: unknown): boolean {
  const code = codeOf(error);
  return code === CODES.permissionDenied || code === CODES.unimplemented || code === CODES.unauthenticated;
}

/** Whether the namespace has all the attributes of type Keyword that its server allows, ten by default. */
export const isFull = (error: unknown): boolean =>
  isGrpcServiceError(error) && /cannot have more than \d+ search attribute/i.test(error.details);

/** What is wrong in a full namespace, and what to do. */
export function noRoom(namespace: string, missing: readonly string[], names: readonly string[]): string {
  return (
    `Namespace ${namespace} has no room for the search attributes ${missing.join(', ')}: it has all the Keywords that its ` +
    `server allows (${names.join(', ')}). Payments go on, but no list of workflows finds them. Remove one that nobody uses: ` +
    `temporal operator search-attribute remove --namespace ${namespace} --name <name>; or use a namespace of their own`
  );
}

/** What a person does who may register them, on a server of one's own and on Temporal Cloud. */
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
