import type { OwnBill } from '../../db/discrepancies';
import { sellerOf } from '../../db/merchants';
import { compareBill, findDueBills, noteNoBill } from '../../db/reconciliations';
import type { BillOfMerchant, PaymentsQueueActivities } from '../../workflows/messages';
import type { ActivityDependencies } from '../dependencies';

type Dependencies = Pick<ActivityDependencies, 'db' | 'log' | 'alipay' | 'billPrefixes'>;

/** The bill activities that need only Postgres. */
export function createBillActivities({
  db,
  log,
  alipay,
  billPrefixes: prefixes,
}: Dependencies): Pick<PaymentsQueueActivities, 'findDueBills' | 'compareBill' | 'noteNoBill'> {
  const billOf = ({ merchant, date }: BillOfMerchant): OwnBill => {
    const sellerId = sellerOf(merchant);
    return { sellerId, date, isOwn: sellerId === alipay.own.settings.sellerId };
  };

  return {
    findDueBills: () => findDueBills(db, alipay.ids),

    async compareBill(input) {
      const { sellerId, date, isOwn } = billOf(input);
      const report = await compareBill(db, { sellerId, date, isOwn, prefixes });
      return { sellerId, date, status: 'COMPARED', because: null, report };
    },

    async noteNoBill({ merchant, date, status, because }) {
      const noted = await noteNoBill(db, billOf({ merchant, date }), { status, because });
      const { lines, updatedAt, ...state } = noted;
      if (status === 'FAILED') log.error({ merchant, date, because, alert: true }, 'the bill cannot be used');
      return state;
    },
  };
}
