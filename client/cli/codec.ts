import type { CliCommand } from './command';
import { answer } from './command';

export const CODEC: CliCommand = {
  kind: 'alone',
  name: 'codec',
  summary: 'decrypt payloads for the Web UI and for temporal',
  description:
    'Serves the codec endpoint at CODEC_HOST and CODEC_PORT until SIGTERM or SIGINT. With its address, the Web UI and ' +
    'the command temporal decrypt what PAYLOAD_KEYS has encrypted, and encrypt what they send: ' +
    'temporal workflow show -w payment-A1001x1 --codec-endpoint http://127.0.0.1:8234',
  examples: ['codec'],
  act: async ({ serveCodec }) => {
    await serveCodec();
    return answer({ served: true }, () => 'codec endpoint closed');
  },
};
