import { describe, expect, it } from '@jest/globals';
import { ServiceError } from '@temporalio/client';
import { explain } from '../../client/dependencies';
import { PaymentError } from '../../workflows/errors';

/** As gRPC's library makes it, and as the SDK wraps it. */
const grpcError = (code: number): Error =>
  Object.assign(new Error(`${code}`), { code, details: '', metadata: {} });
const wrapped = (code: number): Error => new ServiceError('it failed', { cause: grpcError(code) });

describe('what a caller is told where Temporal', () => {
  it.each([1, 4, 8, 14])('does not answer (gRPC %i)', (code) => {
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
        message: expect.stringMatching(/API key or certificate has expired, or lacks rights/) as unknown,
        cause: error,
      });
    }
  });

  it('finds nothing, or finds the request wrong, is the error itself', () => {
    for (const error of [grpcError(3), grpcError(5), wrapped(5)]) expect(explain(error)).toBe(error);
  });

  it('is no matter, an error of the interface stays as it is', () => {
    const error = new PaymentError('ORDER_PAID', 'it is paid');
    expect(explain(error)).toBe(error);
  });
});
