import type { CliCommand } from './command';
import { answer } from './command';

/** The programs of this package other than the command line, by the module that runs each one when it is loaded. */
export const PART_MODULES = {
  migrate: '../worker/migrate',
  worker: '../worker/main',
  server: './server',
} as const;

export type Part = keyof typeof PART_MODULES;

export const PARTS: readonly (CliCommand & { kind: 'part'; name: Part })[] = [
  {
    kind: 'part',
    name: 'migrate',
    summary: 'create the tables in DATABASE_SCHEMA, or bring them up to date',
    examples: ['migrate'],
  },
  {
    kind: 'part',
    name: 'worker',
    summary: 'serve the task queues until SIGTERM or SIGINT',
    examples: ['worker', 'worker --queues alipay'],
    ownOptions: true,
  },
  {
    kind: 'part',
    name: 'server',
    summary: 'serve the shop and Alipay at HOST and PORT until SIGTERM or SIGINT',
    examples: ['server'],
  },
];

export const CODEC: CliCommand = {
  kind: 'alone',
  name: 'codec',
  summary: 'decrypt payloads for the Web UI and the temporal command',
  description:
    'Serves the codec endpoint at CODEC_HOST and CODEC_PORT until SIGTERM or SIGINT. With its address, the Web UI and ' +
    'the command temporal decrypt what PAYLOAD_KEYS has encrypted, and encrypt what they send: ' +
    'temporal workflow show -w payment-A1001x1 --codec-endpoint http://127.0.0.1:8234\n\n' +
    'Without CODEC_TOKEN every program on this machine can decrypt. Set it before you put a proxy or tunnel in front: its ' +
    'requests look local, and anyone who reaches it could decrypt.',
  examples: ['codec'],
  act: async ({ serveCodec }) => {
    await serveCodec();
    return answer({ served: true }, () => 'codec endpoint closed');
  },
};
