import { isFree } from '../../dev/ports';

/** Below the range from which Linux, macOS and Windows give a port to an outgoing connection, or to whoever listens on port 0. */
const [FIRST, END] = [10_000, 32_768];

/**
 * Distinct ports that are free now, and that nobody takes by chance before the caller's program listens there:
 * only a program that asks for one of them by number could.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = FIRST + Math.floor(Math.random() * (END - FIRST));
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}
