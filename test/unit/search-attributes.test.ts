import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { AttributeServices } from '../../worker/search-attributes';
import { registerSearchAttributes } from '../../worker/search-attributes';

const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;
const INVALID_ARGUMENT = 3;

const ALL = { OutTradeNo: 2, OrderId: 2, PaymentStatus: 2 };

/** What gRPC throws. */
const refusal = (code: number, details = 'Request unauthorized.'): Error =>
  Object.assign(new Error(`${code}: ${details}`), { code, details, metadata: {} });

interface Answers {
  list: () => Promise<object>;
  add?: () => Promise<object>;
  count?: () => Promise<object>;
}

/** A server with these answers, and the calls it received. */
function serverOf({ list, add, count }: Answers): { connection: AttributeServices; calls: string[] } {
  const calls: string[] = [];
  const told = (name: string, answer?: () => Promise<object>) => () => {
    calls.push(name);
    return (answer ?? (() => Promise.resolve({})))();
  };
  const connection = {
    operatorService: {
      listSearchAttributes: told('list', async () => ({ customAttributes: await list() })),
      addSearchAttributes: told('add', add),
    },
    workflowService: { countWorkflowExecutions: told('count', count) },
  } as unknown as AttributeServices;
  return { connection, calls };
}

/** Registers, and returns what the worker logs. */
async function register({ connection }: { connection: AttributeServices }): Promise<string> {
  let said = '';
  const log = pino({}, { write: (line: string) => (said += line) });
  await registerSearchAttributes(connection, 'shop.a1b2c', log);
  return said;
}

describe('a worker that starts', () => {
  it('registers missing attributes, and says so', async () => {
    const server = serverOf({ list: () => Promise.resolve({ OutTradeNo: 2 }) });
    expect(await register(server)).toContain('"missing":["OrderId","PaymentStatus"]');
    expect(server.calls).toEqual(['list', 'add']);
  });

  it('goes on where there is no room, and says which attributes take it', async () => {
    const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`Shop${i}`, 2]));
    const details =
      'Unable to create search attributes: cannot have more than 10 search attribute of type Keyword.';
    const server = serverOf({
      list: () => Promise.resolve({ ...ten, Flag: 5 }),
      add: () => Promise.reject(refusal(INVALID_ARGUMENT, details)),
    });
    const said = JSON.parse(await register(server)) as { msg: string };
    expect(said).toMatchObject({ level: 50, code: 'SEARCH_ATTRIBUTES_FULL', alert: true });
    expect(said.msg).toMatch(
      /^Namespace shop\.a1b2c has no room for the search attributes OutTradeNo, OrderId, PaymentStatus: .*\(Shop0, .*Shop9\)\. .*search-attribute remove --namespace shop\.a1b2c --name/,
    );
    expect(server.calls).toEqual(['list', 'add']);
  });

  it('looks again where another worker was faster', async () => {
    let registered = {};
    const server = serverOf({
      list: () => Promise.resolve(registered),
      add: () => {
        registered = ALL;
        return Promise.reject(refusal(UNAVAILABLE, 'the namespace was changed by somebody else'));
      },
    });
    await register(server);
    expect(server.calls).toEqual(['list', 'add', 'list']);
  });

  it.each([PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED])(
    'where the operator service is refused with code %i, as on Temporal Cloud, finds by counts that all are there',
    async (code) => {
      const server = serverOf({ list: () => Promise.reject(refusal(code)) });
      expect(await register(server)).toBe('');
      expect(server.calls).toEqual(['list', 'count', 'count', 'count']);
    },
  );

  it.each([
    ['which it may list', () => Promise.resolve({})],
    ['which it may not even list', () => Promise.reject(refusal(PERMISSION_DENIED))],
  ])('refuses to run without those that it may not register, %s, and says what to do', async (_, list) => {
    const server = serverOf({
      list,
      count: () => Promise.reject(refusal(INVALID_ARGUMENT, 'invalid query')),
      add: () => Promise.reject(refusal(PERMISSION_DENIED)),
    });
    const refused = register(server);
    await expect(refused).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(refused).rejects.toThrow(/lacks the search attributes OutTradeNo, OrderId, PaymentStatus/);
    await expect(refused).rejects.toThrow(
      'tcld namespace search-attributes add --namespace shop.a1b2c --search-attribute "OutTradeNo=Keyword"',
    );
  });

  it('runs, with a warning, where it may ask in neither way', async () => {
    const server = serverOf({
      list: () => Promise.reject(refusal(PERMISSION_DENIED)),
      count: () => Promise.reject(refusal(PERMISSION_DENIED)),
    });
    expect(await register(server)).toContain('could not check');
  });

  it('does not take a wrong key for a namespace without attributes', async () => {
    const server = serverOf({
      list: () => Promise.reject(refusal(UNAUTHENTICATED)),
      count: () => Promise.reject(refusal(UNAUTHENTICATED)),
    });
    await expect(register(server)).rejects.toMatchObject({ code: UNAUTHENTICATED });
  });
});
