import { InvalidArgumentError } from 'commander';
import type { PaymentClient } from '../payment-client';
import type { ExitCode } from './exit';
import type { Paint } from './screen';

/** What the commands need of a {@link PaymentClient}. */
export type CliPayments = Pick<
  PaymentClient,
  'checkout' | 'closeOrder' | 'order' | 'payment' | 'status' | 'checkNow' | 'payments' | 'events' | 'close'
> & { sweep: Pick<PaymentClient['sweep'], 'install' | 'run' | 'report'> };

/** What a command has to say: data for `--json`, words for everybody else. */
export interface Answer {
  data: unknown;
  text: (paint: Paint) => string;
  /** @defaultValue 0 */
  exitCode?: ExitCode;
}

/** Makes an action of commander out of a function that is given a connected client and answers. */
export type Answering = <A extends unknown[]>(
  handler: (payments: CliPayments, ...args: A) => Promise<Answer>,
) => (...args: A) => Promise<void>;

/** The examples at the end of a command's help. */
export function examples(...lines: string[]): string {
  return ['', 'Examples:', ...lines.map((line) => `  $ durable-alipay ${line}`)].join('\n');
}

/** Parses an option that is a whole number. */
export function wholeNumber(lowest: number, highest: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${lowest} to ${highest}.`);
  };
}
