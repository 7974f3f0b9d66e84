import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ENVIRONMENT } from '../worker/config';
import { createLogger } from '../worker/log';
import { visibleLines } from '../worker/visible';
import { addCheckout } from './cli/checkout';
import { addCodec } from './cli/codec';
import type { ServeCodec } from './cli/codec';
import { examples } from './cli/command';
import type { Answer, Answering, CliPayments } from './cli/command';
import { addDoctor } from './cli/doctor';
import type { Diagnose, Telling } from './cli/doctor';
import { EXIT, EXIT_HELP, exitCodeOf, faultOf } from './cli/exit';
import { addFollowUp } from './cli/follow-up';
import { addMerchant } from './cli/merchant';
import { addOrder } from './cli/order';
import { addPayment } from './cli/payment';
import { addRecover } from './cli/recover';
import { addReview } from './cli/review';
import { columns, painter } from './cli/screen';
import { addSweep } from './cli/sweep';
import { addUnmatched } from './cli/unmatched';
import type { DrawBar } from './cli/sweep';
import { drawSweepBar } from './cli/sweep-bar';
import type * as CodecServer from './codec-server';
import type * as Doctor from './doctor';
import type * as Client from './payment-client';

/** The world as the CLI sees it. */
export interface CliWorld {
  version: string;
  connect: () => Promise<CliPayments>;
  diagnose: Diagnose;
  serveCodec: ServeCodec;
  out: (text: string) => void;
  err: (text: string) => void;
  /** Whether `out` goes to a terminal that shows colours. */
  colourful: boolean;
  /** Where a progress bar can be drawn; absent where `err` goes to no terminal. */
  terminal?: NodeJS.WriteStream | undefined;
}

/**
 * Runs one command.
 *
 * @param args what stands behind `durable-alipay`
 * @returns the exit code, as the help explains it
 */
export async function runCli(args: readonly string[], world: CliWorld): Promise<number> {
  // Also right where the usage is wrong, and commander has parsed nothing.
  const json = args.includes('--json');
  const complain = ({ code, message }: { code: string; message: string }): void =>
    world.err(`${visibleLines(json ? JSON.stringify({ code, message }) : `${code}: ${message}`)}\n`);

  let exitCode: number = EXIT.ok;
  const paint = painter(world.colourful);
  const print = (answer: Answer): void => {
    world.out(`${json ? visibleLines(JSON.stringify(answer.data, null, 2)) : answer.text(paint)}\n`);
    exitCode = answer.exitCode;
  };
  const answering: Answering =
    (handler) =>
    async (...given) => {
      const payments = await world.connect();
      try {
        print(await handler(payments, ...given));
      } finally {
        await payments.close();
      }
    };
  const telling: Telling =
    (handler) =>
    async (...given) => {
      const say = (line: (how: typeof paint) => string): void => {
        if (!json) world.out(`${line(paint)}\n`);
      };
      print(await handler(say, ...given));
    };
  const drawBar: DrawBar = () => (json || !world.terminal ? undefined : drawSweepBar(world.terminal));

  const program = buildProgram(world, { answering, telling, drawBar }, (usage) =>
    complain({ code: 'INVALID_INPUT', message: usage.replace(/^error: /, '').trim() }),
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

function buildProgram(
  world: CliWorld,
  { answering, telling, drawBar }: { answering: Answering; telling: Telling; drawBar: DrawBar },
  complainOfUsage: (text: string) => void,
): Command {
  // Commands inherit these settings at the moment they are added.
  const program = new Command('durable-alipay')
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err, outputError: complainOfUsage })
    .configureHelp({ showGlobalOptions: true });
  program
    .description('Know what became of every Alipay payment, and close the orders that nobody pays.')
    .version(world.version)
    .option('--json', 'print JSON instead of text, errors too')
    .addHelpText('after', examples('doctor', 'payment show A1001x1', 'review list', 'sweep report --follow'))
    .addHelpText('after', `\n${EXIT_HELP}\n\nEnvironment:\n${environmentHelp()}`);
  addCheckout(program, answering);
  addPayment(program, answering);
  addOrder(program, answering);
  addReview(program, answering);
  addUnmatched(program, answering);
  addMerchant(program, answering);
  addSweep(program, answering, drawBar);
  addFollowUp(program, answering);
  addRecover(program, answering);
  addDoctor(program, telling, world.diagnose);
  addCodec(program, telling, world.serveCodec);
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

function connect(): Promise<CliPayments> {
  // Loaded late, so that help and usage errors come at once; by require, because import() finds no TypeScript.
  const { PaymentClient } = createRequire(__filename)('./payment-client') as typeof Client;
  // Standard output belongs to the answer.
  return PaymentClient.connect(process.env, {
    log: createLogger({ name: 'cli', destination: process.stderr }),
  });
}

function diagnose(options: Doctor.DiagnosisOptions): Promise<Doctor.Finding[]> {
  const doctor = createRequire(__filename)('./doctor') as typeof Doctor;
  return doctor.diagnose(process.env, options);
}

function serveCodec(): Promise<void> {
  const server = createRequire(__filename)('./codec-server') as typeof CodecServer;
  return server.serveCodec(process.env);
}

/** The program: arguments, streams and exit code of this process. */
export async function main(packageRoot: string): Promise<void> {
  // `… | head` closes the pipe early; that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  process.exitCode = await runCli(process.argv.slice(2), {
    version,
    connect,
    diagnose,
    serveCodec,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    colourful: process.stdout.isTTY && process.stdout.hasColors(),
    terminal: process.stderr.isTTY ? process.stderr : undefined,
  });
}
