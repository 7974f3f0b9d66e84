import pino from 'pino';
import type { DestinationStream, Logger } from 'pino';
import pretty from 'pino-pretty';
import { readConfig } from './config';
import { redact } from './redact';
import { visibleLines } from './visible';

/** A pino logger. */
export type { Logger } from 'pino';
export { inWords, messageOf, redact } from './redact';

/** Options of {@link createLogger}. */
export interface LoggerOptions {
  /** The name of the process that logs. */
  name?: string;
  env?: NodeJS.ProcessEnv;
  /** Where lines go. Default: standard output. */
  destination?: DestinationStream & { isTTY?: boolean };
}

/**
 * A logger configured by LOG_LEVEL and LOG_FORMAT: JSON lines, or readable ones on a terminal. It writes nothing
 * sensitive, and nothing that a terminal would obey.
 *
 * @throws PaymentError CONFIG_INVALID if one of the two variables is wrong
 */
export function createLogger({
  name,
  env = process.env,
  destination = process.stdout,
}: LoggerOptions = {}): Logger {
  const { log } = readConfig(env, { needs: ['log'] });
  const readable = (log.format ?? (destination.isTTY ? 'pretty' : 'json')) === 'pretty';
  // Cleans the whole line once more: messages and bound fields bypass the formatter.
  const clean = (line: string): string => visibleLines(redact(line));
  return pino(
    {
      name,
      level: log.level,
      formatters: { log: redact },
      // An error arrives here as the formatter left it, not as pino would see it.
      serializers: { err: redact, error: redact },
      hooks: { streamWrite: readable ? (line) => keepEscapes(clean(line)) : clean },
    },
    readable
      ? pretty({ destination, colorize: destination.isTTY ?? false, ignore: 'pid,hostname', sync: true })
      : destination,
  );
}

/** JSON whose escapes survive the parsing by pino-pretty, except for line ends and tabs. */
function keepEscapes(line: string): string {
  return line.replace(/\\(?:u[0-9a-f]{4}|.)/gi, (escape) =>
    /^\\[ubfr]/.test(escape) ? `\\${escape}` : escape,
  );
}
