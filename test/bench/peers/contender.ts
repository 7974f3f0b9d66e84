import type { Database } from '../../../db/connect';
import type { Service } from '../../../dev/services';
import type { CheckedOut } from './work';

/** One way to do the work. */
export interface Contender {
  name: string;
  version: string;
  db: Database;
  /** What receives notifications, if its worker does not. */
  http: Service | undefined;
  /** What else works for it besides its worker and PostgreSQL. */
  server: Service | undefined;
  checkOut(orderId: string): Promise<CheckedOut>;
  /** Resolves when it works. */
  startWorker(): Promise<Service>;
  /** How often the order service was told what it had already been told. */
  toldAgain(): Promise<number>;
  close(): Promise<unknown>;
}
