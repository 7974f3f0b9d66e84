import { connect } from 'node:net';

/** What is needed of pg's client to cancel its statement. */
export interface Connection {
  host: string;
  port: number;
  /** The server's key for this connection; a pooler makes up its own. */
  processID: number;
  secretKey: number;
  query: (config: unknown, callback: (error: Error | undefined, result: unknown) => void) => unknown;
}

const CANCEL_MS = 5_000;

/**
 * A statement that took longer than `query_timeout` would keep running on the server, and keep its locks and one of the
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
 * Sends a CancelRequest, which needs its own connection and gets no response
 * (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS).
 */
function cancel({ host, port, processID, secretKey }: Connection, done: () => void): void {
  const request = Buffer.alloc(16);
  [16, 80_877_102, processID, secretKey].forEach((word, index) => request.writeInt32BE(word, index * 4));
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
  socket.setTimeout(CANCEL_MS, () => socket.destroy());
  // If it cannot be sent, the server is gone, or ends the statement when it notices.
  socket.on('error', () => undefined);
  socket.once('close', done);
  // The server closes it: PgBouncer 1.18 dies if the client does so first.
  socket.resume().write(request);
}

/** What is needed of knex's pool (tarn). */
export interface Pool {
  on(event: 'createSuccess', listener: () => void): void;
  on(event: 'createFail' | 'acquireFail', listener: (id: number, error: Error) => void): void;
}

/** Tells callers that waited for a connection why none could be made. */
export function nameCauseOfTimeouts(pool: Pool): void {
  let failure: Error | undefined;
  pool.on('createSuccess', () => (failure = undefined));
  pool.on('createFail', (_id, error) => (failure = error));
  pool.on('acquireFail', (_id, error) => {
    if (failure && error !== failure) error.cause ??= failure;
  });
}
