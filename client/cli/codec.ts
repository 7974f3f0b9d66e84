import type { Command } from 'commander';
import { answer, examples } from './command';
import type { Telling } from './doctor';

/** Serves the codec endpoint until the process is told to stop. */
export type ServeCodec = () => Promise<void>;

export function addCodec(program: Command, telling: Telling, serveCodec: ServeCodec): void {
  program
    .command('codec')
    .summary('decrypt payloads for the Web UI and for temporal')
    .description(
      'Serves the codec endpoint at CODEC_HOST and CODEC_PORT until SIGTERM or SIGINT: the Web UI and the command ' +
        'temporal, told where it is, show in clear what PAYLOAD_KEYS has encrypted, and encrypt what is sent from there.',
    )
    .addHelpText(
      'after',
      `${examples('codec')}\n  $ temporal workflow show -w payment-A1001x1 --codec-endpoint http://127.0.0.1:8234`,
    )
    .action(
      telling(async () => {
        await serveCodec();
        return answer({ served: true }, () => 'codec endpoint closed');
      }),
    );
}
