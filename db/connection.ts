import { connect } from 'node:net';

/** What there is to know of pg's client to cancel its statement. */
export interface Connection {
  host: string;
  port: number;
  /** The server's key to this connection; a pooler makes up its own. */
  processID: number;
  secretKey: number;
  query: (config: unknown, callback: (error: Error | undefined, result: unknown) => void) => unknown;
}

const CANCEL_MS = 5_000;

/**
 * A statement that took longer than `query_timeout` would run on at the server, and keep its locks and one of the
 * server's connections. It is cancelled there, and its connection is added to `abandoned`.
 */
export function cancelLateStatements(connection: Connection, abandoned: WeakSet<Connection>): void {
  const query = connection.query.bind(connection);
  connection.query = (config, callback) =>
    query(config, (error, result) => {
      const done = (): void => callback(error, result);
      if (error?.message !== 'Query read timeout') {
        done();
        return;
      }
      abandoned.add(connection);
      // Only then may the connection be closed: PgBouncer cancels nothing for a client that is gone.
      cancel(connection, done);
    });
}

/**
 * Sends a CancelRequest, which needs a connection of its own and gets no answer
 * (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS).
 */
function cancel({ host, port, processID, secretKey }: Connection, done: () => void): void {
  const request = Buffer.alloc(16);
  [16, 80_877_102, processID, secretKey].forEach((word, index) => request.writeInt32BE(word, index * 4));
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
  socket.setTimeout(CANCEL_MS, () => socket.destroy());
  // Where it cannot be sent the server is gone, or ends the statement when it notices.
  socket.on('error', () => undefined);
  socket.once('close', done);
  // The server closes it: PgBouncer 1.18 dies where the client does so first.
  socket.resume().write(request);
}

/** What there is to know of knex's pool (tarn). */
export interface Pool {
  on(event: 'createSuccess', listener: () => void): void;
  on(event: 'createFail' | 'acquireFail', listener: (id: number, error: Error) => void): void;
}

/** Reports why no connection could be made to whoever waited for one. */
export function nameCauseOfTimeouts(pool: Pool): void {
  let failure: Error | undefined;
  pool.on('createSuccess', () => (failure = undefined));
  pool.on('createFail', (_id, error) => (failure = error));
  pool.on('acquireFail', (_id, error) => {
    if (failure && error !== failure) error.cause ??= failure;
  });
}
