import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { about, check, readFacts } from '../../chaos/checker';
import type { Violation } from '../../chaos/checker';
import type { Reception } from '../../chaos/reception';
import { openReception } from '../../chaos/reception';
import type { Shop } from '../../support';
import { openShop } from '../../support';
import { BREAKS } from './breaks';
import type { Left } from './scenarios';
import { SCENARIOS, Stage } from './scenarios';

// Who watches the watchmen: each scenario runs on the unchanged application, where every rule holds, and, in its own
// jest project (../jest.config.js), on sources with a deliberate break, where the checker must name the broken rule.

const broken = (globalThis as { BROKEN?: string }).BROKEN;

let shop: Shop;
let stage: Stage;
let reception: Reception;
beforeAll(async () => {
  reception = await openReception();
  const { ORDER_SERVICE_URL: url = '', ORDER_SERVICE_SECRET: secret = '' } = reception.environment;
  shop = await openShop(__filename, {
    queues: [],
    webhook: { url, secrets: [secret] },
    payments: { slowChecksMs: [60_000] },
  });
  stage = new Stage(shop, reception);
});
afterAll(async () => {
  await stage.close();
  await shop.close();
  await reception.close();
});

/** What the checker says after a scenario: at once, and, if it goes on, at rest. */
async function judge({ orderIds, witness, promises, goesOn = true }: Left): Promise<Violation[]> {
  const violations = await checked(false);
  if (!goesOn) return violations;
  for (const orderId of orderIds) await stage.hands.settle(orderId);
  await tellAll(orderIds);
  return [...violations, ...(await checked(true))];

  async function checked(atRest: boolean): Promise<Violation[]> {
    const facts = await readFacts({
      ...{ db: shop.db, alipay: shop.alipay.control, acts: reception.acted, atRest },
      promises: { checks: 3, intervalMs: 0, patienceMs: 600_000, ...promises },
      ...(witness && { witness }),
    });
    return orderIds.flatMap((orderId) => check(about(facts, orderId)));
  }
}

/** Tells the order service everything it is owed; what it has not acted on by then never reached it. */
async function tellAll(orderIds: readonly string[]): Promise<void> {
  await shop.sql(
    `UPDATE order_messages SET retry_at = now(), leased_until = NULL, not_before = NULL WHERE told_at IS NULL AND order_id = ANY(:orderIds)`,
    { orderIds },
  );
  await stage.hands.followUp();
}

const scenarioOf = (name: string) => {
  const scenario = SCENARIOS[name];
  if (!scenario) throw new Error(`There is no scenario for the break "${name}"`);
  return scenario;
};

if (broken === undefined) {
  describe('the application as it is', () => {
    it.each(Object.keys(BREAKS))(
      'keeps every rule where "%s" would show',
      async (name) => {
        expect(await judge(await scenarioOf(name)(stage))).toEqual([]);
      },
      240_000,
    );

    it('has a scenario for each break, and no other', () => {
      expect(Object.keys(SCENARIOS)).toEqual(Object.keys(BREAKS));
    });
  });
} else {
  describe(`the application with ${broken}`, () => {
    it('is caught', async () => {
      const violations = await judge(await scenarioOf(broken)(stage));
      expect(violations.map(({ rule }) => rule)).toContain(BREAKS[broken]?.rule);
    }, 240_000);
  });
}
