import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from '../../activities/webhook';
import type { PaymentResult } from '../../workflows/messages';
import { freePorts } from '../support/free-ports';
import { waitFor } from '../support';
import type { RunningProgram } from './foreign/examples';
import { example, isListening, run } from './foreign/examples';
import { RECIPES, build, missingFor } from './foreign/receivers';

// Standard Webhooks libraries by other authors verify what we sign, in the receivers of docs/examples.

const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;

const RESULT: PaymentResult = {
  messageId: 'REFUNDED-20261124185724b86e9d7dc084613b6e-1.00',
  orderId: 'A-1001',
  outTradeNo: '20261124185724b86e9d7dc084613b6e',
  status: 'REFUNDED',
  tradeNo: '2026112422001119912554434674',
  totalAmount: '1.00',
  refundedAmount: '1.00',
  at: '2026-11-24T10:57:25.120Z',
};

for (const [language, recipe] of Object.entries(RECIPES)) {
  const missing = missingFor(recipe);
  if (missing.length > 0) {
    process.stderr.write(`Skipped: the receiver in ${language}. Not found: ${missing.join(', ')}.\n`);
  }

  (missing.length > 0 ? describe.skip : describe)(`the receiver in ${language}`, () => {
    const secret = newSecret();
    let url: string;
    let receiver: RunningProgram;

    const post = (secrets: string[]): Promise<void> =>
      new Webhook({ url, secrets }, { webhook: () => undefined }).post(RESULT);

    beforeAll(async () => {
      const folder = await build(language, recipe);
      const [port = 0] = await freePorts(1);
      url = `http://127.0.0.1:${port}/`;
      receiver = run(folder, recipe.run, { PORT: String(port), ORDER_SERVICE_SECRET: secret });
      await waitFor(() => isListening(port), { what: `${language} to listen`, timeoutMs: 60_000 });
    }, 6 * 60_000);
    afterAll(() => receiver.stop());

    it('takes what its own secret has signed', async () => {
      await post([secret]);
      await waitFor(() => receiver.printed().includes(RESULT.messageId), {
        what: 'the result to be printed',
      });
    });

    it('takes what the secret has signed that will replace its own, and its own', async () => {
      await post([newSecret(), secret]);
    });

    it('refuses what another secret has signed', async () => {
      await expect(post([newSecret()])).rejects.toMatchObject({
        code: 'ORDER_SERVICE_REFUSED',
        message: expect.stringContaining('answered 401'),
      });
    });
  });
}

it(
  "the receiver in Node answers 500 to the shop's own error: 401 would blame the secret",
  async () => {
    const { Node: recipe } = RECIPES;
    if (!recipe) throw new Error('there is no recipe for Node');
    const folder = await build('Node', recipe);
    const program = example('results/receiver.mjs').replace(
      /console\.log\(.*\);/,
      "throw new Error('no stock');",
    );
    writeFileSync(join(folder, 'failing.mjs'), program);
    const [port = 0] = await freePorts(1);
    const secret = newSecret();
    const command = [process.execPath, 'failing.mjs'] as const;
    const receiver = run(folder, command, { PORT: String(port), ORDER_SERVICE_SECRET: secret });
    try {
      await waitFor(() => isListening(port), { what: 'it to listen', timeoutMs: 60_000 });
      const webhook = new Webhook(
        { url: `http://127.0.0.1:${port}/`, secrets: [secret] },
        { webhook: () => undefined },
      );
      await expect(webhook.post(RESULT)).rejects.toMatchObject({
        code: 'ORDER_SERVICE_DOWN',
        message: expect.stringContaining('answered 500'),
      });
    } finally {
      await receiver.stop();
    }
  },
  6 * 60_000,
);
