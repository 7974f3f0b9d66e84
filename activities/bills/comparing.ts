import type { OwnBill } from '../../db/discrepancies';
import { sellerOf } from '../../db/merchants';
import { compareBill, findDueBills, noteNoBill } from '../../db/reconciliations';
import type { BillOfMerchant, BillState, ComparedBill } from '../../workflows/messages';
import type { ActivityDependencies } from '../dependencies';

type Dependencies = Pick<ActivityDependencies, 'db' | 'log' | 'alipay' | 'billPrefixes'>;

/** What needs Postgres alone. */
export function createBillActivities({ db, log, alipay, billPrefixes: prefixes }: Dependencies) {
  const billOf = ({ merchant, date }: BillOfMerchant): OwnBill => {
    const sellerId = sellerOf(merchant);
    return { sellerId, date, isOwn: sellerId === alipay.own.settings.sellerId };
  };

  return {
    /** Bills of the last days that are still to be compared, the oldest first. */
    findDueBills(): Promise<(BillOfMerchant & { sellerId: string })[]> {
      return findDueBills(db, alipay.ids);
    },

    /** Compares a loaded bill with the tables, in SQL, and writes the report. Safe to repeat. */
    async compareBill(input: BillOfMerchant): Promise<ComparedBill> {
      const { sellerId, date, isOwn } = billOf(input);
      const report = await compareBill(db, { sellerId, date, isOwn, prefixes });
      return { sellerId, date, status: 'COMPARED', because: null, report };
    },

    /** Notes that there is no bill, or that it cannot be used, and why. Safe to repeat. */
    async noteNoBill({
      merchant,
      date,
      status,
      because,
    }: BillOfMerchant & { status: 'NO_BILL' | 'FAILED'; because: string }): Promise<BillState> {
      const noted = await noteNoBill(db, billOf({ merchant, date }), { status, because });
      const { lines, updatedAt, ...state } = noted;
      if (status === 'FAILED') log.error({ merchant, date, because, alert: true }, 'the bill cannot be used');
      return state;
    },
  };
}
