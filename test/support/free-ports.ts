import { createSocket } from 'node:dgram';
import { isFree } from '../../dev/ports';

/**
 * Below the range from which Linux, macOS and Windows assign ports to outgoing connections and to listeners on port 0.
 * Above the ports that tests use as ones where nothing listens, and above 10080, which fetch and browsers refuse.
 */
const [FIRST, END] = [20_000, 32_768];

/**
 * Distinct ports that are free now. Nothing takes them before the caller's program listens there, or listens there
 * again: only a program that asks for one of them by number could.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = FIRST + Math.floor(Math.random() * (END - FIRST));
    if ((await reserve(port)) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

/**
 * Keeps other processes that choose ports here from choosing this one for as long as this process lives: only one can
 * bind the UDP port of the same number, on which no program of the tests listens.
 */
function reserve(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      // It outlives a test file, and must not keep that file's modules in memory or the process alive.
      socket.removeAllListeners().unref();
      resolve(true);
    });
  });
}
