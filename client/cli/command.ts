import { userInfo } from 'node:os';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { PaymentClient } from '../payment-client';
import type { WatchSweep } from '../sweep';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { visibleData } from './screen';
import type { Paint } from './screen';

/** What the commands need of a {@link PaymentClient}. */
export type CliPayments = Pick<
  PaymentClient,
  | 'checkout'
  | 'closeOrder'
  | 'order'
  | 'payment'
  | 'status'
  | 'checkNow'
  | 'resolveReview'
  | 'payments'
  | 'reviews'
  | 'unmatched'
  | 'resolveUnmatched'
  | 'merchants'
  | 'correctMerchant'
  | 'recover'
  | 'runs'
  | 'events'
  | 'close'
> & {
  sweep: Pick<PaymentClient['sweep'], 'install' | 'run' | 'report' | 'pause' | 'resume'>;
  followUp: Pick<PaymentClient['followUp'], 'run' | 'pause' | 'resume'>;
};

/** What a command has to say: data for `--json`, words for everybody else. {@link answer} makes it. */
export interface Answer {
  data: unknown;
  text: (paint: Paint) => string;
  exitCode: ExitCode;
}

/**
 * An answer whose words are made of a copy of the data in which nothing can act on a terminal. So whatever a screen
 * shows comes to it by its argument, not from around it.
 */
export function answer<T>(
  data: T,
  text: (paint: Paint, shown: T) => string,
  exitCode: ExitCode = EXIT.ok,
): Answer {
  return { data, text: (paint) => text(paint, visibleData(data)), exitCode };
}

/** Makes an action of commander out of a function that is given a connected client and answers. */
export type Answering = <A extends unknown[]>(
  handler: (payments: CliPayments, ...args: A) => Promise<Answer>,
) => (...args: A) => Promise<void>;

/** Something that shows how far a sweep is, until it is stopped. */
export interface SweepBar {
  watch: WatchSweep;
  stop: () => void;
}

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

/** Who does something to a payment, an order or the sweep, and why. */
export interface WhoAndWhy {
  actor: string;
  reason: string;
}

/** Adds `--reason` and `--actor`: whatever an operator changes is recorded with both. */
export function askWhoAndWhy(command: Command): Command {
  return command
    .addOption(
      new Option('--reason <text>', 'why; it is recorded').argParser(oneLine(256)).makeOptionMandatory(),
    )
    .addOption(actorOption());
}

/** `--actor`, by default whoever is logged in. */
export const actorOption = (): Option =>
  new Option('--actor <name>', 'who; it is recorded').argParser(oneLine(64)).default(userName());

function oneLine(longest: number) {
  return (text: string): string => {
    const line = text.trim();
    if (line.length >= 1 && line.length <= longest && /^\P{Cc}*$/u.test(line)) return line;
    throw new InvalidArgumentError(`It must be one line of 1 to ${longest} characters.`);
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a number that has no name.
    return 'operator';
  }
}
