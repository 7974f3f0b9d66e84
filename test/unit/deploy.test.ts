import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import type { CliWorld } from '../../client/cli';
import { runCli } from '../../client/cli';
import { ENVIRONMENT } from '../../worker/config';

const ROOT = join(__dirname, '..', '..');
const PROMETHEUS = join(ROOT, 'deploy', 'prometheus');
/** The second covers days, which would take too long minute by minute. */
const TESTS = ['alerts.test.yml', 'alerts.days.test.yml'];
const KUBERNETES = join(ROOT, 'deploy', 'kubernetes');
const read = (...path: string[]): string => readFileSync(join(ROOT, ...path), 'utf8');
const run = promisify(execFile);

/** Runs a test if its tool is installed, and says so if not. */
function itWith(tool: string, [program = '', ...args]: readonly string[], install: string) {
  if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) return it;
  process.stderr.write(`Skipped: what needs ${tool}, which is not installed (${install}).\n`);
  return it.skip;
}

const all = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, found = '']) => found);

const observability = read('docs', 'observability.md');

/** The text under each third-level heading. */
const sections = new Map(
  observability
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const [heading = '', ...rest] = section.split('\n');
      return [heading, rest.join('\n').split(/^## /m)[0] ?? ''] as const;
    }),
);

describe('the alerts', () => {
  const file = read('deploy', 'prometheus', 'alerts.yml');
  const alerts = new Map(
    file
      .split(/^ *- alert: /m)
      .slice(1)
      .map((text) => [/^\w+/.exec(text)?.[0] ?? '', text] as const),
  );
  const names = [...alerts.keys()];
  const itWithPromtool = itWith('promtool', ['promtool', '--version'], 'Debian: apt-get install prometheus');

  it.each(names)('%s says how bad it is, what happened, and where it stands what to do', (name) => {
    const text = alerts.get(name) ?? '';
    expect(text).toMatch(/^ +severity: (critical|warning)$/m);
    expect(text).toMatch(/^ +summary: \S/m);
    expect(text).toMatch(/^ +description: \S/m);
    expect(text).toContain(`runbook: docs/observability.md#${name.toLowerCase()}\n`);
  });

  it.each(names)('%s has a section that names a command', (name) => {
    expect(sections.get(name)).toMatch(/^```sh\n(?:.*\n)*?(durable-alipay|temporal|kubectl|psql|curl) /m);
  });

  it('each is explained, and nothing else is', () => {
    expect([...sections.keys()]).toEqual(names);
  });

  const jobs = ['durable-alipay-server', 'durable-alipay-worker'];

  it('ask for jobs that compose has', () => {
    expect([...new Set(all(file, /job="([\w-]+)"/g))].sort()).toEqual(jobs);
    expect(all(read('deploy', 'prometheus', 'prometheus.yml'), /job_name: ([\w-]+)/g).sort()).toEqual(jobs);
  });

  itWithPromtool('ask for jobs that Kubernetes has: the metrics port of each worker and server', async () => {
    const pods = ['codec', 'server', 'worker'].flatMap((name) => {
      const manifest = read('deploy', 'kubernetes', `${name}.yaml`);
      const [component = ''] = all(manifest, /app\.kubernetes\.io\/component: (\w+)/g);
      return all(manifest, /containerPort: (\d+)$/gm).map((port) => ({ name: `${name}-1`, component, port }));
    });
    expect(pods.map(({ name, port }) => `${name}:${port}`)).toEqual([
      'server-1:3000',
      'server-1:9464',
      'worker-1:9464',
    ]);
    const found = await discover([
      ...pods.map((pod) => ({ ...pod, app: 'durable-alipay' })),
      { name: 'another-1', app: 'another', component: 'worker', port: '9464' },
    ]);
    expect(found).toEqual([
      { job: 'durable-alipay-server', instance: 'server-1' },
      { job: 'durable-alipay-worker', instance: 'worker-1' },
    ]);
  });

  it('each is made to fire by a test of its own', () => {
    const fired = all(read('deploy', 'prometheus', 'alerts.test.yml'), /alertname="(\w+)"/g);
    expect([...new Set(fired)].sort()).toEqual([...names].sort());
  });

  itWithPromtool('are sound, fire when they should and are silent when they should', async () => {
    await run('promtool', ['check', 'rules', 'alerts.yml'], { cwd: PROMETHEUS });
    await run('promtool', ['check', 'config', 'prometheus.yml'], { cwd: PROMETHEUS });
    const { stdout } = await run('promtool', ['test', 'rules', ...TESTS], { cwd: PROMETHEUS });
    expect(stdout).toContain('SUCCESS');
  });
});

interface Pod {
  name: string;
  app: string;
  component: string;
  port: string;
}

/**
 * The jobs and instances that prometheus.kubernetes.yml makes of these pods. They are listed statically instead of
 * discovered from Kubernetes, support for which Debian's Prometheus is built without.
 */
async function discover(pods: Pod[]): Promise<Array<{ job: string; instance: string }>> {
  const listed = pods.map(({ name, app, component, port }) => ({
    targets: [`10.0.0.1:${port}`],
    labels: {
      __meta_kubernetes_pod_name: name,
      __meta_kubernetes_pod_label_app_kubernetes_io_name: app,
      __meta_kubernetes_pod_label_app_kubernetes_io_component: component,
      __meta_kubernetes_pod_container_port_number: port,
    },
  }));
  const asked = /kubernetes_sd_configs:\n {6}- role: pod\n {8}namespaces:\n {10}own_namespace: true\n/;
  const config = read('deploy', 'prometheus', 'prometheus.kubernetes.yml');
  expect(config).toMatch(asked);
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
  try {
    copyFileSync(join(PROMETHEUS, 'alerts.yml'), join(folder, 'alerts.yml'));
    const path = join(folder, 'prometheus.yml');
    writeFileSync(path, config.replace(asked, `static_configs: ${JSON.stringify(listed)}\n`));
    await run('promtool', ['check', 'config', path]);
    const { stdout } = await run('promtool', [
      'check',
      'service-discovery',
      '--timeout=2s',
      path,
      'durable-alipay',
    ]);
    const found = JSON.parse(stdout) as Array<{ labels: { job?: string; instance?: string } }>;
    return found
      .map(({ labels: { job = '', instance = '' } }) => ({ job, instance }))
      .filter(({ job }) => job !== '')
      .sort((a, b) => a.job.localeCompare(b.job));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('docs/observability.md', () => {
  const commands = all(observability, /^(?:\d\. )?(durable-alipay [^#|\n]+)/gm).concat(
    all(observability, /`(durable-alipay [^`]+)`/g),
  );

  it('has commands to try', () => {
    expect(commands.length).toBeGreaterThan(20);
  });

  it.each([...new Set(commands.map((command) => command.trim()))])(
    'names a command that exists: %s',
    async (command) => {
      const [, path = ''] = /^durable-alipay((?: [a-z]+)+)(?= |$)/.exec(command) ?? [];
      const help = await helpOf(path.trim().split(' '));
      for (const option of all(command, /(--[a-z-]+)/g)) expect(help).toContain(option);
    },
  );
});

async function helpOf(subcommand: string[]): Promise<string> {
  let out = '';
  const world: CliWorld = {
    version: '0',
    connect: () => Promise.reject(new Error('help connects to nothing')),
    diagnose: () => Promise.reject(new Error('help examines nothing')),
    serveCodec: () => Promise.reject(new Error('help serves nothing')),
    start: () => expect('help').toBe('no start'),
    out: (text) => (out += text),
    err: (text) => (out += text),
    colourful: false,
  };
  expect(await runCli([...subcommand, '--help'], world)).toBe(0);
  expect(out).toContain(`Usage: durable-alipay ${subcommand.join(' ')}`);
  return out;
}

describe('the image', () => {
  const dockerfile = read('deploy', 'Dockerfile');

  it('is built from every folder that the build compiles', () => {
    const { include } = JSON.parse(read('tsconfig.build.json')) as { include: string[] };
    const copied = all(dockerfile, /^COPY (\w+) \1$/gm);
    // The sandbox is its own package, which is built first: its types are those of durable-alipay/testing.
    expect(copied.sort()).toEqual([...include, 'sandbox'].sort());
  });

  it('sends the builder nothing but what it copies', () => {
    const copied = all(dockerfile, /^COPY (?!--from)(.+) \S+$/gm).flatMap((names) => names.split(' '));
    const sent = all(read('deploy', 'Dockerfile.dockerignore'), /^!(.+)$/gm);
    expect([...new Set(copied.map((name) => name.split('/')[0]))].sort()).toEqual([...sent].sort());
  });

  it('has the certificates by which a worker knows a Temporal with TLS', () => {
    expect(dockerfile.split(/^FROM /m).at(-1)).toMatch(/^ *&& apt-get install .*ca-certificates/m);
  });

  it('does not run as root, and runs no install script', () => {
    expect(all(dockerfile, /^USER (\w+)$/gm)).toEqual(['node']);
    for (const install of all(dockerfile, /(npm ci.*)/g)) expect(install).toContain('--ignore-scripts');
  });
});

describe('the manifests', () => {
  const manifests = readdirSync(KUBERNETES).map((name) => join(KUBERNETES, name));
  const known = new Set(
    ENVIRONMENT.flatMap(({ name, orFile }) => (orFile ? [name, `${name}_FILE`] : [name])),
  );
  const seconds = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1]);

  const itWithSchemas = itWith(
    "Kubernetes' schemas",
    ['python3', '-c', 'import kubernetes_validate'],
    'pip install kubernetes-validate',
  );
  itWithSchemas('are what Kubernetes understands', async () => {
    for (const version of ['1.29', '1.33'])
      await run('python3', ['-m', 'kubernetes_validate', '--strict', '-k', version, ...manifests]);
  });

  const itWithYaml = itWith(
    'a YAML parser',
    ['python3', '-c', 'import yaml'],
    'Debian: apt-get install python3-yaml',
  );
  itWithYaml('are YAML, all of them, and compose names services that exist', async () => {
    const program =
      'import json, sys, yaml; print(json.dumps([list(yaml.safe_load_all(open(path))) for path in sys.argv[1:]]))';
    const { stdout } = await run('python3', [
      '-c',
      program,
      join(ROOT, 'deploy', 'compose.yml'),
      ...manifests,
    ]);
    const [[compose] = []] = JSON.parse(stdout) as [Compose][];
    const services = Object.entries(compose?.services ?? {});
    expect(services.map(([name]) => name)).toEqual(
      expect.arrayContaining(['worker', 'server', 'migrate', 'temporal']),
    );
    for (const [, { depends_on: needed = {} }] of services)
      expect(services.map(([name]) => name)).toEqual(expect.arrayContaining(Object.keys(needed)));
  });

  it('give worker and server longer than they give their work', () => {
    const worker = seconds(read('worker', 'worker.ts'), /SHUTDOWN_GRACE = '(\d+) seconds'/);
    const server = seconds(read('client', 'server.ts'), /GRACE_MS = (\d+)_000/);
    const pause = seconds(read('deploy', 'kubernetes', 'server.yaml'), /sleep, '(\d+)'/);
    const grace = /terminationGracePeriodSeconds: (\d+)/;
    expect(seconds(read('deploy', 'kubernetes', 'worker.yaml'), grace)).toBeGreaterThan(worker + 10);
    expect(seconds(read('deploy', 'kubernetes', 'server.yaml'), grace)).toBeGreaterThan(server + pause);
    const [ofWorker = '0', ofServer = '0'] = all(read('deploy', 'compose.yml'), /stop_grace_period: (\d+)s/g);
    expect(Number(ofWorker)).toBeGreaterThan(worker + 10);
    expect(Number(ofServer)).toBeGreaterThan(server);
  });

  it('set no variable that nobody reads', () => {
    const config = read('deploy', 'kubernetes', 'config.yaml').split(/^data:$/m)[1] ?? '';
    const secret = read('deploy', 'kubernetes', 'secret.example.yaml');
    const shared = (read('deploy', 'compose.yml').split('x-environment:')[1] ?? '').split('x-part:')[0] ?? '';
    const codec = read('deploy', 'kubernetes', 'codec.yaml');
    const set = [config, secret, shared]
      .flatMap((text) => all(text, /^ +(?:# )?([A-Z][A-Z_]+):/gm))
      .concat(all(codec, /- name: ([A-Z][A-Z_]+)$/gm));
    expect(set.length).toBeGreaterThan(20);
    expect(set.filter((name) => !known.has(name))).toEqual([]);
  });

  it.each(['deploy/compose.yml', 'deploy/kubernetes/config.yaml'])(
    'leave encryption and traces off, a line each in %s to switch them on',
    (file) => {
      const names = all(read(...file.split('/')), /^ +# ([A-Z][A-Z_]+): \S+$/gm);
      expect(names).toEqual(expect.arrayContaining(['PAYLOAD_KEYS_FILE', 'OTEL_EXPORTER_OTLP_ENDPOINT']));
    },
  );

  it.each(['install-sweep-job', 'migrate-job', 'server', 'worker'])(
    'give %s every variable and every key file that is set, such as DATABASE_SCHEMA and DATABASE_URL_FILE',
    (name) => {
      const manifest = read('deploy', 'kubernetes', `${name}.yaml`);
      const refs = ['configMapRef', 'secretRef'].map(
        (ref) => `            - ${ref}:\n                name: durable-alipay\n`,
      );
      expect(manifest).toContain(`          envFrom:\n${refs.join('')}`);
      expect(manifest).toContain('secretName: durable-alipay-keys\n');
    },
  );

  it('give the migration of compose the variables that all parts have', () => {
    const migrate = (read('deploy', 'compose.yml').split(/^ {2}migrate:$/m)[1] ?? '').split(/^ {2}\w/m)[0];
    expect(migrate).toContain('environment: *environment\n');
  });

  it('let only this machine ask the codec endpoint', () => {
    const compose = (read('deploy', 'compose.yml').split(/^ {2}codec:$/m)[1] ?? '').split(/^ {2}\w+:$/m)[0];
    for (const part of [compose, read('deploy', 'kubernetes', 'codec.yaml')]) {
      expect(part).toContain('[node, client/bin.js, codec]');
      expect(part).not.toMatch(/CODEC_HOST:|name: CODEC_HOST|^ *ports:|kind: Service$/m);
    }
  });
});

interface Compose {
  services: Record<string, { depends_on?: Record<string, unknown> }>;
}
