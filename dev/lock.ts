import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * Makes sure that only one environment runs in this folder, by listening on a Unix socket.
 *
 * @param path - short, so preferably relative: a socket's name can have only about 100 characters
 * @returns whether the last holder was killed, in which case what it started may still be ending
 * @throws Error if another one is running
 */
export async function takeLock(path: string): Promise<{ afterCrash: boolean }> {
  for (let afterCrash = false; ; afterCrash = true) {
    const server = createServer((socket) => socket.end(String(process.pid))).listen(path);
    const isOurs = await once(server, 'listening').catch(() => false);
    if (isOurs) {
      process.once('exit', () => rmSync(path, { force: true }));
      return { afterCrash };
    }
    const holder = await text(connect(path)).catch(() => undefined);
    if (holder !== undefined)
      throw new Error(
        `It is already running here, as process ${holder}. Stop it first (Ctrl-C, or kill ${holder}).`,
      );
    rmSync(path, { force: true });
  }
}
