import { rmSync, writeFileSync } from 'node:fs';
import { ENVIRONMENT } from '../../worker/config';

const OURS = ENVIRONMENT.flatMap(({ name, orFile }) => (orFile ? [name, `${name}_FILE`] : [name]));

/** Those of Temporal's that a shell has exported: which there are, only the SDK knows. */
const TEMPORALS = String.raw`$(env | sed -n 's/^\(TEMPORAL_[A-Z_]*\)=.*/\1/p')`;

/**
 * Writes what the parts of the local environment were started with, for a shell that is to run the command line beside
 * them: `set -a; . <file>; set +a`. First it unsets what they could have, so that nothing of the shell's own shines through.
 * It holds a database's password, and is its owner's alone to read.
 */
export function writeEnvironment(file: string, env: NodeJS.ProcessEnv): void {
  const settings = Object.entries(env)
    .filter(([name]) => OURS.includes(name) || /^TEMPORAL_[A-Z_]+$/.test(name))
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quoted(value)}`]));
  // A file that is there keeps its mode.
  rmSync(file, { force: true });
  writeFileSync(file, [`unset ${OURS.join(' ')} ${TEMPORALS}`, ...settings, ''].join('\n'), { mode: 0o600 });
}

/** As one word of a POSIX shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
