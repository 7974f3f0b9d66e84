import { randomBytes } from 'node:crypto';
import { createDatabase, query } from '../../dev/postgres';
import { atEnd } from './at-end';
import { surroundings } from './surroundings';
import { waitFor } from '../../dev/wait-for';

interface Session {
  application_name: string;
  state: string;
  query: string;
}

/**
 * Creates a new database. It is dropped after the file's last afterAll, and the file fails if a connection to it is
 * still open then.
 *
 * @param options.empty - without tables: for tests of the migrations
 * @returns its URL, as superuser
 */
export async function freshDatabase({ empty = false }: { empty?: boolean } = {}): Promise<string> {
  const { adminUrl, template } = surroundings('servers');
  const name = `test_${randomBytes(6).toString('hex')}`;
  const url = await createDatabase(adminUrl, name, empty ? undefined : template);
  atEnd(() => drop(adminUrl, name));
  return url;
}

async function drop(adminUrl: string, name: string): Promise<void> {
  let left: Session[] = [];
  try {
    // The server needs a moment to notice a closed socket.
    await waitFor(
      async () => {
        left = await query<Session>(
          adminUrl,
          `SELECT application_name, state, query FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`,
          [name],
        );
        return left.length === 0;
      },
      { what: 'every connection to the test database to be closed' },
    );
  } catch (error) {
    throw new Error(
      `This test file leaks ${left.length} database connections: ${JSON.stringify(left, undefined, 2)}`,
      { cause: error },
    );
  } finally {
    await query(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  }
}
