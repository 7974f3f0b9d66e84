import { describe, expect, it } from '@jest/globals';
import { Client, QueryNotRegisteredError, ServiceError } from '@temporalio/client';
import {
  ActivityFailure,
  ApplicationFailure,
  NamespaceNotFoundError,
  TimeoutFailure,
} from '@temporalio/common';
import type { ClientDependencies } from '../../client/dependencies';
import { awaitWorker, explain } from '../../client/dependencies';
import { fromFailure, healthOf, statusOf } from '../../client/operations';
import { MIGRATION_NAMES } from '../../db/migrations';
import { PaymentError } from '../../workflows/errors';
import { PAYMENT } from './rows';

/** As the gRPC library creates it, and as the SDK wraps it. */
const grpcError = (code: number, details = 'failed'): Error =>
  Object.assign(new Error(`${code} STATUS: ${details}`), { code, details, metadata: {} });
const wrapped = (code: number): Error => new ServiceError('it failed', { cause: grpcError(code) });

describe('what a caller is told where Temporal', () => {
  it.each([1, 2, 4, 8, 13, 14])('does not answer (gRPC %i)', (code) => {
    for (const error of [grpcError(code), wrapped(code)]) {
      expect(explain(error)).toMatchObject({
        code: 'TEMPORAL_UNAVAILABLE',
        message: expect.stringContaining('did not answer') as unknown,
        cause: error,
      });
    }
  });

  it.each([7, 16])('refuses the key or the certificate (gRPC %i)', (code) => {
    for (const error of [grpcError(code), wrapped(code)]) {
      expect(explain(error)).toMatchObject({
        code: 'TEMPORAL_UNAVAILABLE',
        message: expect.stringMatching(/API key or certificate.*TEMPORAL_API_KEY/) as unknown,
        cause: error,
      });
    }
  });

  it.each([
    ['No connection established. Last error: connect ECONNREFUSED 10.0.0.7:7233', 'Nothing listens'],
    [
      'Name resolution failed for target dns:temporal.internal:7233',
      'The host of TEMPORAL_ADDRESS cannot be resolved',
    ],
    ['Deadline exceeded after 5s, remote_addr=10.0.0.7:7233', 'Temporal did not answer'],
  ])('cannot be reached (%s): the cause, what to do, and no address of ours', (details, words) => {
    const { message } = explain(grpcError(14, details)) as PaymentError;
    expect(message).toContain(words);
    expect(message).toContain('TEMPORAL_ADDRESS');
    expect(message).not.toMatch(/10\.0\.0\.7|internal/);
  });

  it.each([
    ['as the SDK says it', new NamespaceNotFoundError('shop.a1b2c')],
    ['as the server says it', grpcError(5, 'Namespace shop.a1b2c is not found.')],
  ])('has no such namespace (%s): which, and what to do', (_how, error) => {
    expect(explain(error)).toMatchObject({
      code: 'TEMPORAL_UNAVAILABLE',
      message: expect.stringMatching(
        /^There is no namespace shop\.a1b2c\. Run: .* --namespace shop\.a1b2c .*TEMPORAL_NAMESPACE\./,
      ) as unknown,
      cause: error,
    });
  });

  it('finds nothing, or finds the request wrong, is the error itself', () => {
    for (const error of [grpcError(3), grpcError(5), wrapped(5)]) expect(explain(error)).toBe(error);
  });

  it('is no matter, an error of the interface stays as it is', () => {
    const error = new PaymentError('ORDER_PAID', 'it is paid');
    expect(explain(error)).toBe(error);
  });
});

describe('what a caller is told where work', () => {
  const waiting = (error: Error): Promise<unknown> =>
    awaitWorker(new Client(), 90_000, () => Promise.reject(error));

  it('is not done in time: that it may be the workers, and that it goes on', async () => {
    for (const error of [grpcError(4, 'Deadline exceeded'), wrapped(4)]) {
      await expect(waiting(error)).rejects.toMatchObject({
        code: 'TEMPORAL_UNAVAILABLE',
        message: expect.stringMatching(/^No result within 90 s: no worker is running.* continues/) as unknown,
        cause: error,
      });
    }
  });

  it('fails otherwise, or Temporal cannot be reached: the error itself', async () => {
    for (const error of [
      grpcError(5),
      grpcError(4, 'No connection established. Last error: connect ECONNREFUSED 10.0.0.7:7233'),
    ]) {
      await expect(waiting(error)).rejects.toBe(error);
    }
  });

  it('is given up after its last time-out: that its result is not known, and not that something is broken', () => {
    const timeout = new TimeoutFailure('activity Heartbeat timeout', undefined, 'HEARTBEAT');
    const error = new ActivityFailure(
      'it failed',
      'resolveReview',
      '1',
      'MAXIMUM_ATTEMPTS_REACHED',
      'a worker',
      timeout,
    );
    expect(fromFailure(error)).toMatchObject({
      code: 'TEMPORAL_UNAVAILABLE',
      status: 503,
      message: expect.stringMatching(
        /^No worker has finished it.*result is unknown.*again is safe/,
      ) as unknown,
      cause: error,
    });
  });

  it('was accepted by a run that has ended: that its result is not known', () => {
    const error = ApplicationFailure.create({ type: 'AcceptedUpdateCompletedWorkflow' });
    expect(fromFailure(error)).toMatchObject({ code: 'TEMPORAL_UNAVAILABLE', cause: error });
  });
});

describe('the health', () => {
  it('asks for our namespace, and says so where it is not ours to use', async () => {
    const asked: object[] = [];
    const deps = {
      db: {
        client: { config: { schema: 'public', namesStatements: false } },
        raw: () => ({ options: () => Promise.resolve({ rows: MIGRATION_NAMES.map((name) => ({ name })) }) }),
      },
      temporal: {
        options: { namespace: 'shop' },
        withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
        workflowService: {
          describeNamespace: (request: object) => {
            asked.push(request);
            return Promise.reject(grpcError(7, 'Request unauthorized.'));
          },
        },
      },
    } as unknown as ClientDependencies;
    expect(await healthOf(deps)).toEqual({
      database: true,
      temporal: false,
      reason: expect.stringMatching(/no rights here\. Give it rights in this namespace/) as unknown,
    });
    expect(asked).toEqual([{ namespace: 'shop' }]);
  });
});

describe('the status of a payment', () => {
  const unreplayable = (): Error => Object.create(QueryNotRegisteredError.prototype) as Error;
  const row = { options: () => Promise.resolve({ rows: [{ ...PAYMENT, checks: 2 }] }) };
  const statusWhere = (refusal: Error): Promise<unknown> =>
    statusOf(
      {
        db: { client: { config: { schema: 'public', namesStatements: false } }, raw: () => row },
        temporal: {
          withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
          workflow: { getHandle: () => ({ query: () => Promise.reject(refusal) }) },
        },
      } as unknown as ClientDependencies,
      'P1',
    );

  it.each([
    ['has ended and cannot be replayed', unreplayable()],
    ['fails its tasks', wrapped(9)],
  ])('is its row where its run %s', async (_how, refusal) => {
    expect(await statusWhere(refusal)).toMatchObject({ outTradeNo: 'P1', status: 'UNPAID', checks: 2 });
  });

  it('is not known where the query is refused otherwise', async () => {
    const refusal = wrapped(5);
    await expect(statusWhere(refusal)).rejects.toBe(refusal);
  });
});
