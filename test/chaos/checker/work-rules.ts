import { WORKFLOWS, paymentWorkflowId } from '../../../workflows/messages';
import { ERRORS } from '../../../workflows/errors';
import type { Window } from '../history';
import { BAD_BUILD } from '../history';
import type { PaymentFact } from './facts';
import type { Rule } from './rule';
import { grouped, inReview, isSettled } from './rule';

/** How long after a fault it should have no effect any more, and how long it must then be quiet to judge that. */
const QUIET_AFTER_MS = 12_000;
const STRETCH_MS = 8_000;

function quietStretches(windows: readonly Window[]): { from: number; to: number }[] {
  const sorted = [...windows].sort((one, other) => one.from - other.from);
  const stretches: { from: number; to: number }[] = [];
  let quietFrom = Infinity;
  for (const { from, to } of sorted) {
    if (from - quietFrom >= STRETCH_MS) stretches.push({ from: quietFrom, to: from });
    quietFrom = Math.max(quietFrom === Infinity ? 0 : quietFrom, to + QUIET_AFTER_MS);
  }
  return stretches;
}

/** The rest: runs, the quota, the shop's interface. */
export const WORK_RULES: readonly Rule[] = [
  {
    name: 'no run is stuck',
    says: '10: none fails, and at rest only reviews run on; what a bad build has failed is begun anew where something is left to do',
    harm: 'stuck',
    *broken({ runs, atRest, witness: { windows } }, books) {
      const idsOf = (payments: readonly PaymentFact[]): Set<string> =>
        new Set(payments.map(({ outTradeNo }) => paymentWorkflowId(outTradeNo)));
      const payments = [...books.payments.values()];
      const waiting = idsOf(payments.filter(inReview));
      const hadBadBuild = windows.some(({ name }) => name === BAD_BUILD);
      const mayHaveFailed = idsOf(hadBadBuild ? payments.filter(isSettled) : []);
      for (const { workflowId, type, status } of runs) {
        if (status === 'FAILED' && mayHaveFailed.has(workflowId)) continue;
        // A refused close reports that by failing.
        if (status !== 'RUNNING' && type !== WORKFLOWS.closeOrder)
          yield { how: `${workflowId} (${type}) has ${status}` };
        else if (atRest && type === WORKFLOWS.confirmPayment && !waiting.has(workflowId))
          yield {
            outTradeNo: workflowId.replace(/^payment-/, ''),
            how: 'its run goes on, and there is nothing to do',
          };
      }
    },
  },
  {
    name: 'the quota is kept',
    says: 'ALIPAY_MAX_RPS: calls of all workers together',
    harm: 'wrong',
    *broken({ journal, promises: { maxRps } }) {
      if (maxRps === undefined) return;
      const calls = journal.filter(({ kind }) => kind === 'call').map(({ at }) => Date.parse(at));
      for (const [place, at] of calls.entries()) {
        const within = calls.slice(place).filter((other) => other < at + 1_000).length;
        // A slot taken at the end of one second may be used at the start of the next.
        if (within > maxRps + 1) {
          yield { how: `${within} calls within a second, ${maxRps} are allowed` };
          return;
        }
      }
    },
  },
  {
    name: 'a refusal has no effect',
    says: 'HTTP: a 4xx never took effect; an answer that never came may have',
    harm: 'wrong',
    *broken({ witness, refunds }, books) {
      const refunded = new Set(refunds.map(({ outRequestNo }) => outRequestNo));
      const refused = grouped(
        witness.calls.filter(({ path }) => path === '/refunds' || path === '/checkout'),
        ({ refundId, outTradeNo }) => refundId ?? outTradeNo ?? '',
      );
      for (const [id, calls] of refused) {
        const isThere = refunded.has(id) || books.payments.has(id);
        const [first] = calls;
        const wasRefused = calls.every(({ status }) => status >= 400 && status < 500);
        if (wasRefused && isThere) yield { orderId: first?.orderId, how: `${id} was refused, and is there` };
        const wasTaken = calls.some(({ status }) => status === 200);
        if (wasTaken && !isThere)
          yield { orderId: first?.orderId, how: `${id} was taken with 200, and is not there` };
      }
    },
  },
  {
    name: 'every error is known',
    says: 'a code that is not in the table of errors is a find',
    harm: 'wrong',
    *broken({ witness }) {
      for (const { status, code, orderId, path } of witness.calls) {
        const isKnown = status === 0 || status === 200 || (code in ERRORS && code !== 'INTERNAL');
        if (!isKnown) yield { orderId, how: `${path} was answered ${status} ${code}` };
      }
      for (const how of witness.oddities) yield { how };
    },
  },
  {
    name: 'it serves in quiet times',
    says: 'where nothing is broken for a while, calls are answered; too many at once may hear 503',
    harm: 'stuck',
    *broken({ witness: { calls, windows } }) {
      for (const { from, to } of quietStretches(windows)) {
        const ended = calls.filter((call) => call.to >= from && call.to <= to);
        if (ended.length >= 3 && ended.every(({ status }) => status === 0 || status >= 500))
          yield { how: `none of ${ended.length} calls was served from ${new Date(from).toISOString()} on` };
      }
    },
  },
  {
    name: 'the sentinel survives',
    says: '5: an order that is PAID stays PAID, whatever is tried on it',
    harm: 'wrong',
    *broken({ witness: { sentinel: orderId }, orders, messages, refunds }, books) {
      if (orderId === undefined) return;
      const order = orders.find(({ id }) => id === orderId);
      const payments = books.paymentsOf(orderId).map(({ status }) => status);
      const told = messages.filter((message) => message.orderId === orderId).map(({ status }) => status);
      const back = refunds.filter((refund) => refund.orderId === orderId).length;
      const found = [order?.status, payments.join(), told.join(), back].join(' ');
      if (found !== 'PAID PAID PAID 0') yield { orderId, how: `it is "${found}"` };
    },
  },
];
