import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ENVIRONMENT } from '../worker/config';
import { createLogger } from '../worker/log';
import { visibleLines } from '../worker/visible';
import { PaymentError } from '../workflows/errors';
import { AUDIT } from './cli/audit';
import { CHECKOUT } from './cli/checkout';
import type { Answer, Cli, CliCommand, CliPayments } from './cli/command';
import { addTo, examplesHelp } from './cli/command';
import { DOCTOR } from './cli/doctor';
import { EXIT, EXIT_HELP, exitCodeOf, faultOf } from './cli/exit';
import { FOLLOW_UP } from './cli/follow-up';
import { MERCHANT } from './cli/merchant';
import { ORDER } from './cli/order';
import { CODEC, PART_MODULES, PARTS } from './cli/parts';
import type { Part } from './cli/parts';
import { PAUSE, RESUME } from './cli/pause';
import { PAYMENT } from './cli/payment';
import { RECONCILE } from './cli/reconcile';
import { RECOVER } from './cli/recover';
import { REVIEW } from './cli/review';
import { REFUND } from './cli/refund';
import { columns, painter } from './cli/screen';
import { SWEEP } from './cli/sweep';
import { UNMATCHED } from './cli/unmatched';
import type * as CodecServer from './codec-server';
import type * as Doctor from './doctor';
import type * as Client from './payment-client';

const COMMANDS = [
  ...[CHECKOUT, PAYMENT, ORDER, REFUND, REVIEW, UNMATCHED, MERCHANT],
  ...[SWEEP, FOLLOW_UP, RECONCILE, AUDIT, PAUSE, RESUME, RECOVER, DOCTOR, CODEC],
  ...PARTS,
];

/** Everything outside the CLI that it uses. */
export interface CliWorld extends Pick<Cli, 'diagnose' | 'serveCodec'> {
  version: string;
  connect: () => Promise<CliPayments>;
  /** Starts another program in this process; that one prints and exits by itself. */
  start: (part: Part) => void;
  out: (text: string) => void;
  err: (text: string) => void;
  /** Whether `out` goes to a terminal that shows colours. */
  colourful: boolean;
  /** Where a progress bar can be drawn; absent if `err` is not a terminal. */
  terminal?: NodeJS.WriteStream | undefined;
}

/**
 * Runs one command.
 *
 * @param args what follows `durable-alipay`
 * @returns the exit code, as the help explains it
 */
export async function runCli(args: readonly string[], world: CliWorld): Promise<number> {
  // Not from commander: after a usage error it has parsed nothing.
  const json = args.includes('--json');
  const complain = ({ code, message }: { code: string; message: string }): void =>
    world.err(`${visibleLines(json ? JSON.stringify({ code, message }) : `${code}: ${message}`)}\n`);

  let exitCode: number = EXIT.ok;
  const paint = painter(world.colourful);
  const { diagnose, serveCodec } = world;
  const cli: Cli = {
    diagnose,
    serveCodec,
    say: (line) => {
      if (!json) world.out(`${line(paint)}\n`);
    },
    terminal: json ? undefined : world.terminal,
  };
  const program = buildProgram(
    world,
    (usage) => complain({ code: 'INVALID_INPUT', message: usage.replace(/^error: /, '').trim() }),
    async (command, given) => {
      if (command.kind === 'part') {
        world.start(command.name);
        return;
      }
      const answer = await carryOut(command, cli, world.connect, given);
      world.out(`${json ? visibleLines(JSON.stringify(answer.data, null, 2)) : answer.text(paint)}\n`);
      exitCode = answer.exitCode;
    },
  );
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    complain(faultOf(error));
    return exitCodeOf(error);
  }
}

async function carryOut(
  command: Exclude<CliCommand, { kind: 'part' }>,
  cli: Cli,
  connect: () => Promise<CliPayments>,
  given: unknown[],
): Promise<Answer> {
  // Commander passes on exactly what the command declares.
  const all = given as never[];
  if (command.kind === 'alone') return command.act(cli, ...all);
  const payments = await connect();
  try {
    return await command.act({ ...cli, payments }, ...all);
  } finally {
    await payments.close();
  }
}

function buildProgram(
  { version, out, err }: CliWorld,
  complainOfUsage: (text: string) => void,
  run: (command: CliCommand, given: unknown[]) => Promise<void>,
): Command {
  // Commands inherit these settings at the moment they are added.
  const program = new Command('durable-alipay')
    .exitOverride()
    .configureOutput({ writeOut: out, writeErr: err, outputError: complainOfUsage })
    .configureHelp({ showGlobalOptions: true });
  program
    .description('Know what became of every Alipay payment, and close the orders that nobody pays.')
    .version(version)
    .option('--json', 'print JSON instead of text, also for errors')
    .addHelpText(
      'after',
      examplesHelp(['doctor', 'payment show A1001x1', 'review list', 'sweep report --follow']),
    )
    .addHelpText('after', `\n${EXIT_HELP}\n\nEnvironment:\n${environmentHelp()}`);
  for (const command of COMMANDS) addTo(program, command, run);
  return program;
}

function environmentHelp(): string {
  return columns(
    ENVIRONMENT.filter(({ group }) => group !== 'laptop' && group !== 'http').map((variable) => [
      `  ${variable.name}`,
      `${variable.meaning}${variable.required ? ' (required)' : ''}${variable.default ? ` (${variable.default})` : ''}`,
    ]),
  );
}

/** Loads lazily, so that help and usage errors appear at once; with require, because import() finds no TypeScript. */
const load = createRequire(__filename);

/** Loading a part runs it, with the arguments after its name. */
function startPart(part: Part, peers: Record<string, string>): void {
  process.argv.splice(process.argv.indexOf(part), 1);
  try {
    load(PART_MODULES[part]);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = Object.entries(peers).find(([name]) => message.includes(`'${name}'`));
    if (code !== 'MODULE_NOT_FOUND' || !missing) throw error;
    throw new PaymentError(
      'CONFIG_INVALID',
      `A ${part} needs ${missing[0]}, which is not installed. Run: npm install ${missing.join('@')}`,
      { cause: error },
    );
  }
}

/** Runs the CLI with the arguments, streams and exit code of this process. */
export async function main(packageRoot: string): Promise<void> {
  // `… | head` closes the pipe early; for a command that prints an answer this is no failure.
  const leave = (error: NodeJS.ErrnoException): void => process.exit(error.code === 'EPIPE' ? 0 : 1);
  process.stdout.on('error', leave);
  const { version, peerDependencies } = JSON.parse(
    readFileSync(join(packageRoot, 'package.json'), 'utf8'),
  ) as { version: string; peerDependencies: Record<string, string> };
  const exitCode = await runCli(process.argv.slice(2), {
    version,
    connect: () =>
      (load('./payment-client') as typeof Client).PaymentClient.connect(process.env, {
        // Standard output is reserved for the answer.
        log: createLogger({ name: 'cli', destination: process.stderr }),
      }),
    start: (part) => {
      // A worker that cannot log has failed: whatever runs it must start it again.
      process.stdout.off('error', leave);
      startPart(part, peerDependencies);
    },
    diagnose: (options) => (load('./doctor') as typeof Doctor).diagnose(process.env, options),
    serveCodec: () => (load('./codec-server') as typeof CodecServer).serveCodec(process.env),
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    colourful: process.stdout.isTTY && process.stdout.hasColors(),
    terminal: process.stderr.isTTY ? process.stderr : undefined,
  });
  // A part that was started sets its own exit code, and may already have done so.
  if (exitCode !== 0) process.exitCode = exitCode;
}
