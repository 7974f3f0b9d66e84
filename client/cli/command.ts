import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { redact } from '../../worker/log';
import type { Diagnose } from '../doctor';
import type { PaymentClient } from '../payment-client';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import type { Part } from './parts';
import { visibleData } from './screen';
import type { Paint } from './screen';

/** What the commands need of a {@link PaymentClient}. */
export type CliPayments = Omit<PaymentClient, 'registerOrder' | 'handleNotify' | 'verifyReturn' | 'health'>;

/** What a command can use without a connection. */
export interface Cli {
  diagnose: Diagnose;
  serveCodec: () => Promise<void>;
  /** Prints a line before the answer; not with `--json`. */
  say: (line: (paint: Paint) => string) => void;
  /** Where a bar can be drawn; also absent with `--json`. */
  terminal: NodeJS.WriteStream | undefined;
}

/** The same plus a client, which is closed after the command. */
export interface ConnectedCli extends Cli {
  payments: CliPayments;
}

/** Called with the arguments of the command, then its options. */
type Act<C> = (cli: C, ...given: never[]) => Promise<Answer>;

interface CommandHelp {
  name: string;
  /** One line in the list of commands. */
  summary: string;
  /** In the command's own help. Default: the summary. */
  description?: string;
}

interface CommandInput extends CommandHelp {
  /** Without `durable-alipay`. The first one also appears in the help of the command's group. */
  examples: readonly [string, ...string[]];
  arguments?: readonly Argument[];
  options?: readonly Option[];
}

/** One command: what its help says, what it takes, and what it does. */
export type CliCommand = CommandInput &
  (
    | { kind?: undefined; act: Act<ConnectedCli> }
    | { kind: 'alone'; act: Act<Cli> }
    /** A separate program, which may parse its options itself. */
    | { kind: 'part'; name: Part; ownOptions?: true }
  );

/** A group of commands, like `payment`. */
export interface CliGroup extends CommandHelp {
  commands: readonly CliCommand[];
}

/** What a command prints: data for `--json`, text for people. {@link answer} makes it. */
export interface Answer {
  data: unknown;
  text: (paint: Paint) => string;
  exitCode: ExitCode;
}

/**
 * An answer without secrets or buyers' data. Its text is made from a copy of the data that cannot control a terminal,
 * so a screen must show only its argument, and nothing from its closure.
 */
export function answer<T>(
  data: T,
  text: (paint: Paint, shown: T) => string,
  exitCode: ExitCode = EXIT.ok,
): Answer {
  return unredacted(redact(data), text, exitCode);
}

/** The same, but with signatures: a payment URL needs its own. */
export function unredacted<T>(
  data: T,
  text: (paint: Paint, shown: T) => string,
  exitCode: ExitCode = EXIT.ok,
): Answer {
  return { data, text: (paint) => text(paint, visibleData(data)), exitCode };
}

/** Adds a command or a group to the program. `run` executes a command. */
export function addTo(
  parent: Command,
  command: CliCommand | CliGroup,
  run: (command: CliCommand, given: unknown[]) => Promise<void>,
): void {
  const { name, summary, description = `${capitalised(summary)}.` } = command;
  // Created by the parent, whose settings it inherits.
  const added = parent.command(name).summary(summary).description(description);
  if ('commands' in command) {
    added.addHelpText('after', examplesHelp(command.commands.map(({ examples: [first] }) => first)));
    for (const inner of command.commands) addTo(added, inner, run);
    return;
  }
  added.addHelpText('after', examplesHelp(command.examples));
  if (command.kind === 'part' && command.ownOptions) {
    added.helpOption(false).allowUnknownOption().allowExcessArguments();
  }
  for (const argument of command.arguments ?? []) added.addArgument(argument);
  for (const option of command.options ?? []) added.addOption(option);
  // Commander names only one missing argument; the usage line names all.
  const complaining = parent.configureOutput();
  const usage = `Usage: ${added.createHelp().commandUsage(added)}`;
  added.configureOutput({
    outputError: (text, write) => complaining.outputError?.(`${text.trim()}\n${usage}`, write),
  });
  // Commander calls it with arguments, options, and the command.
  added.action((...given: unknown[]) => run(command, given.slice(0, -1)));
}

/** The examples at the end of a command's help. */
export function examplesHelp(examples: readonly string[]): string {
  return ['', 'Examples:', ...examples.map((line) => `  $ durable-alipay ${line}`)].join('\n');
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export const ORDER_ID = new Argument('<orderId>', "the shop's id of the order");

export const OUT_TRADE_NO = new Argument('<outTradeNo>', 'the payment number');

export const LIMIT = new Option('--limit <n>', 'how many').argParser(wholeNumber(1, 10_000)).default(50);

/** The filters of a list of payments or refunds. */
export interface ListOptions<Status> {
  status?: Status;
  order?: string;
  limit: number;
}

export const listOptions = (statuses: readonly string[]): readonly Option[] => [
  inAnyCase(new Option('--status <status>', 'only those with this status').choices(statuses)),
  new Option('--order <orderId>', 'only those of this order'),
  LIMIT,
];

/** For read-only commands; a decision must be spelled as it is recorded. */
function inAnyCase(option: Option): Option {
  const { parseArg } = option;
  return option.argParser((text, previous) => parseArg?.(text.toUpperCase(), previous));
}

/** Parses an option that is a whole number. */
export function wholeNumber(lowest: number, highest: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${lowest} to ${highest}.`);
  };
}

export type { WhoAndWhy } from '../../workflows/messages';

/** `--actor`, by default whoever is logged in. */
export const ACTOR = new Option('--actor <name>', 'who does this; recorded')
  .argParser(oneLine(64))
  .default(userName());

/** Whatever an operator changes is recorded with both. */
export const WHO_AND_WHY: readonly Option[] = [
  new Option('--reason <text>', 'why; recorded').argParser(oneLine(256)).makeOptionMandatory(),
  ACTOR,
];

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
    // A container may run as a user id that has no name.
    return 'operator';
  }
}
