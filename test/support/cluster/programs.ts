import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from '../../../dev/places';
import type { Say } from '../../../dev/services';
import { runStep } from '../../../dev/steps';

/** The release that the Temporal CLI's dev server embeds: both cost the same number of state transitions. */
export const TEMPORAL_VERSION = 'v1.29.1';

const MODULES = ['go.temporal.io/server/cmd/server', 'go.temporal.io/server/cmd/tools/sql'];
const FOLDER = join(CACHE, `temporal-server-${TEMPORAL_VERSION}`);
const BUILD_DEADLINE_MS = 30 * 60_000;

/** The programs of a Temporal server on PostgreSQL. */
export interface TemporalPrograms {
  server: string;
  /** Also known as temporal-sql-tool; it contains the schemas. */
  sqlTool: string;
}

/** The programs if an earlier run has built them, or undefined. */
export function builtTemporalPrograms(): TemporalPrograms | undefined {
  return existsSync(FOLDER) ? programsIn(FOLDER) : undefined;
}

/**
 * Finds the server's programs in the repository's cache, or builds them with Go (minutes, once).
 *
 * @throws Error naming what is missing
 */
export async function findTemporalPrograms(say: Say): Promise<TemporalPrograms> {
  const built = builtTemporalPrograms();
  if (built) return built;
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    throw new Error(
      'A Temporal server on PostgreSQL is built from its sources, and Go is not installed. Install Go 1.24 or newer.',
    );
  }
  // The folder is complete or absent, even if the build is interrupted.
  const unfinished = `${FOLDER}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const home = process.env['HOME'] ? {} : { GOPATH: join(CACHE, 'go'), GOCACHE: join(CACHE, 'go-build') };
  try {
    for (const module of MODULES) {
      await runStep(
        {
          what: `Building ${module} ${TEMPORAL_VERSION} with Go (minutes, once; it stays in .cache)`,
          command: 'go',
          args: ['install', `${module}@${TEMPORAL_VERSION}`],
          env: { ...process.env, ...home, GOBIN: unfinished, GOFLAGS: '' },
          timeoutMs: BUILD_DEADLINE_MS,
        },
        say,
      );
    }
    renameSync(unfinished, FOLDER);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return programsIn(FOLDER);
}

const programsIn = (folder: string): TemporalPrograms => ({
  server: join(folder, 'server'),
  sqlTool: join(folder, 'sql'),
});
