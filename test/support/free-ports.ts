import { createSocket } from 'node:dgram';
import { isFree } from '../../dev/ports';

/**
 * Below the range from which Linux, macOS and Windows give a port to an outgoing connection, or to whoever listens on port 0.
 * Above the ports that tests name as ones where nobody listens, and above 10080, to which neither fetch nor a browser goes.
 */
const [FIRST, END] = [20_000, 32_768];

/**
 * Distinct ports that are free now, and that nobody takes before the caller's program listens there, or listens there
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
 * Keeps other processes that choose ports here from choosing this one, for as long as this process lives: the same number
 * of UDP, on which no program of the tests listens, can be had once.
 */
function reserve(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      // It outlives a test file, and must keep neither that file's modules nor the process.
      socket.removeAllListeners().unref();
      resolve(true);
    });
  });
}
