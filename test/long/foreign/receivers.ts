import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CACHE } from '../../../dev/places';
import { runStep } from '../../../dev/steps';
import type { Command } from './examples';
import { example } from './examples';

/** How to build and run a receiver of docs/examples, in its own folder. */
interface Recipe {
  file: string;
  /** Programs that must be on this machine. */
  needs: readonly string[];
  /** Gets its libraries and compiles it. */
  build: readonly Command[];
  run: Command;
}

/** By language. */
export const RECIPES: Readonly<Record<string, Recipe>> = {
  Node: {
    file: 'receiver.mjs',
    needs: ['npm'],
    build: [['npm', 'install', '--no-audit', '--no-fund', 'standardwebhooks@1.1.1']],
    run: [process.execPath, 'receiver.mjs'],
  },
  Python: {
    file: 'receiver.py',
    needs: ['python3'],
    build: [['python3', '-m', 'pip', 'install', '--quiet', '--target', '.', 'standardwebhooks==1.1.0']],
    run: ['python3', 'receiver.py'],
  },
  Go: {
    file: 'receiver.go',
    needs: ['go'],
    build: [
      ['go', 'mod', 'init', 'receiver'],
      ['go', 'get', 'github.com/standard-webhooks/standard-webhooks/libraries@v0.0.1'],
      ['go', 'build', '-o', 'receiver', '.'],
    ],
    run: ['./receiver'],
  },
  PHP: {
    file: 'receiver.php',
    needs: ['php'],
    build: [],
    run: ['sh', '-c', 'exec php -S "127.0.0.1:$PORT" receiver.php'],
  },
  Java: {
    file: 'Receiver.java',
    needs: ['java', 'javac', 'mvn'],
    build: [
      [
        'mvn',
        '--quiet',
        '--batch-mode',
        'dependency:copy',
        '-Dartifact=com.standardwebhooks:standardwebhooks:1.1.0',
        '-DoutputDirectory=.',
      ],
      ['javac', '-cp', 'standardwebhooks-1.1.0.jar', 'Receiver.java'],
    ],
    run: ['java', '-cp', `standardwebhooks-1.1.0.jar${delimiter}.`, 'Receiver'],
  },
};

const BUILD_MS = 5 * 60_000;

/** Which of the programs it needs are missing on this machine. */
export const missingFor = ({ needs }: Recipe): string[] =>
  needs.filter((program) => {
    try {
      execFileSync(program, [program === 'go' ? 'version' : '--version'], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });

/** Builds a receiver, once: it stays in the repository's cache as long as program and recipe are the same. */
export async function build(language: string, recipe: Recipe): Promise<string> {
  const program = example(`results/${recipe.file}`);
  const digest = createHash('sha256')
    .update(JSON.stringify([program, recipe]))
    .digest('hex')
    .slice(0, 12);
  const folder = join(CACHE, 'receivers', `${language}.${digest}`);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.${process.pid}`;
  try {
    mkdirSync(unfinished, { recursive: true });
    writeFileSync(join(unfinished, recipe.file), program);
    for (const [command, ...args] of recipe.build) {
      await runStep(
        { what: `Preparing ${language}`, command, args, cwd: unfinished, timeoutMs: BUILD_MS },
        () => undefined,
      );
    }
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}
