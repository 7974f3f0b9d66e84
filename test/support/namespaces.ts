import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

const TESTS = join(__dirname, '..');
const TIERS_ON_REAL_SERVERS = ['integration', 'browser', 'long'];

/**
 * A test file's own Temporal namespace, so that files can run in parallel and use the real names of queues, workflows
 * and the Schedule. It exists when the file starts.
 */
export function namespaceFor(testFile: string): string {
  return `test-${basename(testFile)
    .replace(/\.test\.ts$/, '')
    .replaceAll(/[^a-zA-Z0-9-]/g, '-')}`;
}

/** Of all test files that can ask; created when the server starts, since a new one takes up to ten seconds to show. */
export function allNamespaces(): string[] {
  const files = TIERS_ON_REAL_SERVERS.map((tier) => join(TESTS, tier))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    .filter((file) => file.endsWith('.test.ts'));
  return [...new Set(files.map(namespaceFor))];
}
