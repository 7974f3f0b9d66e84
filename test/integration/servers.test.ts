import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { query } from '../../dev/postgres';
import { SEARCH_ATTRIBUTES } from '../../workflows/messages';
import { freshDatabase, namespaceFor, temporalAddress, waitFor } from '../support';

describe('the servers of a test run', () => {
  const namespace = namespaceFor(__filename);
  let connection: Connection;
  let url: string;

  beforeAll(async () => {
    url = await freshDatabase();
    connection = await Connection.connect({ address: temporalAddress() });
  });
  afterAll(() => connection.close());

  it('are a PostgreSQL 18 with the tables in a database of this file', async () => {
    const [server] = await query<{ version: string }>(
      url,
      "SELECT current_setting('server_version') AS version",
    );
    expect(server?.version).toMatch(/^18\./);
    const [payments] = await query<{ count: string }>(url, 'SELECT count(*) FROM payments');
    expect(payments?.count).toBe('0');
  });

  it('share nothing between two databases', async () => {
    const other = await freshDatabase({ empty: true });
    await query(url, 'CREATE TABLE only_here (a int)');
    await expect(query(other, 'SELECT * FROM only_here')).rejects.toThrow('does not exist');
    await expect(query(other, 'SELECT * FROM payments')).rejects.toThrow('does not exist');
  });

  it('are a Temporal with a namespace of this file and the search attributes in it', async () => {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    expect(Object.keys(customAttributes)).toEqual(expect.arrayContaining(Object.values(SEARCH_ATTRIBUTES)));
  });

  it('take a workflow and find it by its search attribute', async () => {
    const client = new Client({ connection, namespace });
    await client.workflow.start('nobodyRunsThis', {
      taskQueue: 'nobody',
      workflowId: 'searched',
      typedSearchAttributes: [{ key: defineSearchAttributeKey('OutTradeNo', 'KEYWORD'), value: 'S1' }],
    });
    const found = await waitFor(async () => (await client.workflow.count(`OutTradeNo = 'S1'`)).count === 1, {
      what: 'the workflow to be found by its OutTradeNo',
    });
    expect(found).toBe(true);
    await client.workflow.getHandle('searched').terminate();
  });
});
