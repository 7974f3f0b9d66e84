import type { ConnectionLike } from '@temporalio/client';
import { isGrpcServiceError } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../workflows/messages';

/** gRPC's numbers. */
const CODES = { invalidArgument: 3, permissionDenied: 7, unimplemented: 12, unauthenticated: 16 } as const;

/** gRPC's number of the type Keyword. */
export const KEYWORD = 2;

/** What it takes to ask a server about its search attributes, and to register some. */
export type AttributeServices = Pick<ConnectionLike, 'workflowService' | 'operatorService'>;

/** How a namespace stands with the search attributes of payments. */
export interface FoundAttributes {
  /** Not registered, or of a type that takes no words. */
  missing: string[];
  /** Registered, and of another type than Keyword. */
  odd: string[];
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
    const odd = names.filter((name) => !missing.includes(name) && Number(customAttributes[name]) !== KEYWORD);
    return { missing, odd };
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

/** Whether the server lets nobody, or not us, use its operator service. */
export function isRefused(error: unknown): boolean {
  const code = codeOf(error);
  return code === CODES.permissionDenied || code === CODES.unimplemented || code === CODES.unauthenticated;
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

const codeOf = (error: unknown): number | undefined => (isGrpcServiceError(error) ? error.code : undefined);
