import type { Connection } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import { keyIdOf } from '../../worker/payload-codec';
import type { Shop } from '../support';

/** A payload as Temporal stores it, and where it was found. */
export interface Found {
  /** Field names from the outside in, without list indexes: `markerRecordedEventAttributes.details.result`. */
  path: string;
  /** The key that encrypted it; undefined: it is not encrypted. */
  keyId: string | undefined;
  text: string;
}

type Service = Pick<Connection, 'workflowService'>;

/** Every payload in whatever Temporal returns, undecoded, at any depth. */
export function payloadsIn(answer: unknown, path: readonly string[] = []): Found[] {
  if (typeof answer !== 'object' || answer === null || ArrayBuffer.isView(answer)) return [];
  if (isPayload(answer)) {
    const { metadata, data } = answer;
    const text = [...Object.values(metadata ?? {}), data ?? Buffer.of()]
      .map((bytes) => Buffer.from(bytes).toString('latin1'))
      .join(' ');
    return [{ path: path.join('.'), keyId: keyIdOf(answer), text }];
  }
  const step = (name: string): string[] => (Array.isArray(answer) ? [] : [name]);
  return Object.entries(answer).flatMap(([name, inner]) => payloadsIn(inner, [...path, ...step(name)]));
}

function isPayload(value: object): value is Payload {
  return 'metadata' in value && 'data' in value && ArrayBuffer.isView(value.data);
}

/** What Temporal itself stores and returns of one workflow: history, description, queries. */
export async function heldOf({ connection, namespace }: Shop, workflowId: string, ...queries: string[]) {
  const { workflowService } = connection as Service;
  const execution = { workflowId };
  const { history } = await workflowService.getWorkflowExecutionHistory({ namespace, execution });
  const description = await workflowService.describeWorkflowExecution({ namespace, execution });
  const answers = await Promise.all(
    queries.map((queryType) => workflowService.queryWorkflow({ namespace, execution, query: { queryType } })),
  );
  return { events: history?.events ?? [], description, answers };
}

/** What Temporal itself stores of a Schedule. */
export async function heldOfSchedule({ connection, namespace }: Shop, scheduleId: string): Promise<unknown> {
  return (connection as Service).workflowService.describeSchedule({ namespace, scheduleId });
}
