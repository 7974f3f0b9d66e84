import pino from 'pino';
import type { DestinationStream, Logger } from 'pino';
import pretty from 'pino-pretty';
import { readConfig } from './config';
import { redact } from './redact';
import { visibleLines } from './visible';

/** A logger of pino. */
export type { Logger } from 'pino';
export { inWords, messageOf, redact } from './redact';

/** How {@link createLogger} makes a logger. */
export interface LoggerOptions {
  /** Which process speaks. */
  name?: string;
  env?: NodeJS.ProcessEnv;
  /** Where lines go. Default: standard output. */
  destination?: DestinationStream & { isTTY?: boolean };
}

/**
 * A logger by LOG_LEVEL and LOG_FORMAT: JSON lines, or readable ones on a terminal. Nothing sensitive leaves it, and
 * nothing that a terminal would obey.
 *
 * @throws PaymentError CONFIG_INVALID where one of the two variables is wrong
 */
export function createLogger({
  name,
  env = process.env,
  destination = process.stdout,
}: LoggerOptions = {}): Logger {
  const { log } = readConfig(env, { needs: ['log'] });
  const readable = (log.format ?? (destination.isTTY ? 'pretty' : 'json')) === 'pretty';
  // The whole line once more: messages and bound fields go past the formatter.
  const clean = (line: string): string => visibleLines(redact(line));
  return pino(
    {
      name,
      level: log.level,
      formatters: { log: redact },
      // An error comes here as the formatter has left it, not as pino would see it.
      serializers: { err: redact, error: redact },
      hooks: { streamWrite: readable ? (line) => keepEscapes(clean(line)) : clean },
    },
    readable
      ? pretty({ destination, colorize: destination.isTTY ?? false, ignore: 'pid,hostname', sync: true })
      : destination,
  );
}

/** JSON whose escapes are still escapes when it has been parsed, as pretty does: but for ends of lines and tabs. */
function keepEscapes(line: string): string {
  return line.replace(/\\(?:u[0-9a-f]{4}|.)/gi, (escape) =>
    /^\\[ubfr]/.test(escape) ? `\\${escape}` : escape,
  );
}
