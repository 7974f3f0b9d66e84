/** Fetches, loads and compares one bill in its own process, and prints what that cost. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { createBillActivities, createFetchActivities } from '../../../activities/bills';
import type { GatewaySettings } from '../../../activities/alipay/gateway';
import { AlipayGateway } from '../../../activities/alipay/gateway';
import { AlipayGateways } from '../../../activities/alipay/gateways';
import { openDatabase } from '../../../db/connect';
import type { BillReport } from '../../../workflows/messages';

export interface LargeBillInput {
  databaseUrl: string;
  gateway: GatewaySettings;
  merchant: string;
  date: string;
}

export interface LargeBillOutput {
  report: BillReport;
  fetchSeconds: number;
  compareSeconds: number;
  /** The whole process', MB. */
  peakMb: number;
}

async function main({ databaseUrl, gateway, merchant, date }: LargeBillInput): Promise<LargeBillOutput> {
  const db = openDatabase({ url: databaseUrl });
  const deps = {
    db,
    alipay: new AlipayGateways([new AlipayGateway(gateway)]),
    log: pino({ level: 'silent' }),
    billOrigins: [],
    billPrefixes: [],
  };
  const fetching = createFetchActivities(deps);
  const comparing = createBillActivities(deps);
  const started = performance.now();
  await new MockActivityEnvironment().run(() => fetching.fetchBill({ merchant, date }));
  const fetched = performance.now();
  const { report } = await comparing.compareBill({ merchant, date });
  const ended = performance.now();
  await db.destroy();
  return {
    report,
    fetchSeconds: (fetched - started) / 1_000,
    compareSeconds: (ended - fetched) / 1_000,
    peakMb: process.resourceUsage().maxRSS / 1_024,
  };
}

main(JSON.parse(process.argv[2] ?? '') as LargeBillInput).then(
  (output) => process.stdout.write(JSON.stringify(output), () => process.exit(0)),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
    process.exit(1);
  },
);
