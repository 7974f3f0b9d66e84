import { afterEach, expect, it, jest } from '@jest/globals';
import type { Tracer } from '@opentelemetry/api';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { inSpan } from '../../activities/spans';

afterEach(() => void jest.restoreAllMocks());

/** What the span of a call records if the call throws this. */
async function toldOf(thrown: unknown): Promise<unknown[]> {
  const told: unknown[] = [];
  const span = {
    setAttribute: (name: string, value: unknown) => told.push(`${name}: ${String(value)}`),
    setStatus: ({ code }: { code: SpanStatusCode }) => told.push(SpanStatusCode[code]),
    end: () => told.push('end'),
  };
  const startActiveSpan = (_name: string, _options: object, act: (one: typeof span) => unknown) => act(span);
  jest.spyOn(trace, 'getTracer').mockReturnValue({ startActiveSpan } as unknown as Tracer);
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- anything can be thrown
  const calling = inSpan('a call', {}, () => Promise.reject(thrown));
  await expect(calling).rejects.toBe(thrown);
  return told;
}

it.each([
  ['our code', Object.assign(new Error('the buyer Li'), { code: 'ORDER_UNKNOWN' }), 'ORDER_UNKNOWN'],
  ['the name, where there is no code', new TypeError('the buyer Li'), 'TypeError'],
  ['nothing of what is no error', 'the buyer Li', 'Error'],
])('a span tells %s, and passes on what was thrown', async (_what, thrown, type) => {
  expect(await toldOf(thrown)).toEqual([`error.type: ${type}`, 'ERROR', 'end']);
});

it.each([
  [404, []],
  [503, ['ERROR']],
])('an error of status %i is a fault from 500 on', async (status, fault) => {
  const thrown = Object.assign(new Error('no'), { code: 'CODE', status });
  expect(await toldOf(thrown)).toEqual(['error.type: CODE', ...fault, 'end']);
});
