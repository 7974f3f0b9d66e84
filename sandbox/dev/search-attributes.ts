import { isGrpcServiceError } from '@temporalio/client';
import type { Connection } from '@temporalio/client';
import { encodeSearchAttributeIndexedValueType } from '@temporalio/common/lib/search-attributes';

/** What payments can be searched by, all of type Keyword. */
export const SEARCH_ATTRIBUTES = ['OutTradeNo', 'OrderId', 'PaymentStatus'];

/**
 * Registers the search attributes in a namespace, as `temporal operator search-attribute create` does; those that
 * exist stay as they are. The time-skipping server keeps one set for all namespaces.
 */
export async function registerSearchAttributes(
  connection: Pick<Connection, 'operatorService'>,
  namespace: string,
): Promise<void> {
  const keyword = encodeSearchAttributeIndexedValueType('KEYWORD');
  if (keyword === undefined) throw new Error('The SDK no longer knows the type Keyword');
  for (const name of SEARCH_ATTRIBUTES) {
    try {
      await connection.operatorService.addSearchAttributes({
        namespace,
        searchAttributes: { [name]: keyword },
      });
    } catch (error) {
      if (!alreadyExists(error)) throw error;
    }
  }
}

function alreadyExists(error: unknown): boolean {
  if (!isGrpcServiceError(error)) return false;
  const code: number = error.code;
  const ALREADY_EXISTS = 6;
  return code === ALREADY_EXISTS;
}
