import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { CACHE } from '../../dev/places';
import type { Say } from '../../dev/services';
import { runStep } from '../../dev/steps';
import { waitFor } from '../../dev/wait-for';
import { freePorts } from './free-ports';

const FOLDER = join(CACHE, 'test-server');
const WRAPPER = join(FOLDER, 'temporal-test-server');
const LIBRARIES = join(FOLDER, 'lib');
const ARCHIVE = join(FOLDER, 'classes.jsa');
const MAIN = 'io.temporal.testserver.TestServer';
const SERVER = 'io.temporal:temporal-test-server:1.32.0';
/** Without a logger on the class path, slf4j prints three lines of warnings at every start. */
const NO_LOGGER = 'org.slf4j:slf4j-nop:1.7.36';
const MAVEN_DEADLINE_MS = 5 * 60_000;

/** What `TestWorkflowEnvironment.createTimeSkipping` takes as `server.executable`. */
export type TimeSkippingExecutable =
  { type: 'existing-path'; path: string } | { type: 'cached-download'; downloadDir: string };

/**
 * Finds or gets Temporal's time-skipping test server: from the repository's cache, by the SDK's own download, or, if
 * that is unreachable, from Maven, to be run by Java.
 *
 * @throws Error that says what is missing and how to get it
 */
export async function findTimeSkippingServer({ say }: { say: Say }): Promise<TimeSkippingExecutable> {
  const byJava = { type: 'existing-path', path: WRAPPER } as const;
  if (existsSync(WRAPPER)) return byJava;
  mkdirSync(FOLDER, { recursive: true });
  const bySdk = { type: 'cached-download', downloadDir: FOLDER } as const;
  let whyNot: string;
  try {
    const environment = await TestWorkflowEnvironment.createTimeSkipping({ server: { executable: bySdk } });
    await environment.teardown();
    return bySdk;
  } catch (error) {
    whyNot = error instanceof Error ? error.message : String(error);
  }
  say(`The SDK could not download the time-skipping test server: ${whyNot}`);
  try {
    await copyFromMaven(say);
  } catch (error) {
    throw new Error(
      `The time-skipping test server is missing. The SDK could not download it (${whyNot}), ` +
        `and Java 17 with Maven could not get it either (${error instanceof Error ? error.message : String(error)}). ` +
        `Install both (apt-get install openjdk-17-jre-headless maven), or give access to temporal.download.`,
      { cause: error },
    );
  }
  return byJava;
}

async function copyFromMaven(say: Say): Promise<void> {
  const project = mkdtempSync(join(tmpdir(), 'temporal-test-server-'));
  const unfinished = `${LIBRARIES}.${process.pid}`;
  try {
    writeFileSync(join(project, 'pom.xml'), projectFile([SERVER, NO_LOGGER]));
    await runStep(
      {
        what: `Copying ${SERVER} from Maven`,
        command: 'mvn',
        args: ['--quiet', '--batch-mode', 'dependency:copy-dependencies', `-DoutputDirectory=${unfinished}`],
        cwd: project,
        timeoutMs: MAVEN_DEADLINE_MS,
      },
      say,
    );
    rmSync(LIBRARIES, { recursive: true, force: true });
    renameSync(unfinished, LIBRARIES);
    await archiveClasses();
    writeWrapper();
  } finally {
    rmSync(project, { recursive: true, force: true });
    rmSync(unfinished, { recursive: true, force: true });
  }
}

function projectFile(artifacts: string[]): string {
  const dependencies = artifacts.map((artifact) => {
    const [groupId, artifactId, version] = artifact.split(':');
    return `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project><modelVersion>4.0.0</modelVersion><groupId>none</groupId><artifactId>none</artifactId><version>1</version>
<dependencies>${dependencies.join('')}</dependencies></project>`;
}

/**
 * Makes Java keep the classes of one start in the form that later starts load: 0.65 s of CPU instead of 1.9 s
 * (measured). The SDK gives a server 5 s to start, which three at once on a busy machine exceeded.
 */
async function archiveClasses(): Promise<void> {
  const [port = 0] = await freePorts(1);
  const archive = `-XX:ArchiveClassesAtExit=${ARCHIVE}`;
  const server = spawn('java', [archive, ...JAVA, join(LIBRARIES, '*'), MAIN, String(port)], {
    stdio: 'ignore',
  });
  const exited = once(server, 'exit');
  try {
    const connect = () => Connection.connect({ address: `127.0.0.1:${port}`, connectTimeout: 5_000 });
    const connection = await waitFor(connect, {
      what: 'the first start of the test server',
      timeoutMs: 120_000,
    });
    await connection.close();
  } finally {
    server.kill('SIGTERM');
    await exited;
  }
}

/** Starts fast and stays small. */
const JAVA = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp'];

/** The SDK starts one executable file; this one is Java on the copied libraries. */
function writeWrapper(): void {
  const script = `#!/bin/sh
here=$(dirname "$0")
exec java "-XX:SharedArchiveFile=$here/classes.jsa" ${JAVA.join(' ')} "$here/lib/*" ${MAIN} "$@"
`;
  writeFileSync(`${WRAPPER}.new`, script);
  chmodSync(`${WRAPPER}.new`, 0o755);
  renameSync(`${WRAPPER}.new`, WRAPPER);
}

// Run directly, it gets the server and prints, as its last line, what to pass to the SDK: preparation for tests that
// must not load the SDK's native part in their own process.
if (require.main === module) {
  findTimeSkippingServer({ say: (line) => process.stderr.write(`${line}\n`) }).then(
    (executable) => process.stdout.write(`${JSON.stringify(executable)}\n`),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
