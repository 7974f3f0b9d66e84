'use strict';

// Deliberate breaks of the application: each removes one of its promises. `proof.test.ts` runs a scenario on sources
// with the break (break.js), and the checker of test/chaos must name the rule that no longer holds. A break whose text
// is no longer in the sources fails.

/** @type {Record<string, { rule: string, edits: { file: string, from: string, to: string }[] }>} */
exports.BREAKS = {
  'compare-and-set removed': {
    rule: 'no status moves backwards',
    edits: [
      {
        file: 'db/payments.ts',
        from: 'WHERE p.out_trade_no = :outTradeNo AND ${PAYMENT_STATUS_BY_KEY} = ANY(:from)',
        to: 'WHERE p.out_trade_no = :outTradeNo AND CAST(:from AS text[]) IS NOT NULL',
      },
    ],
  },
  'closed without a query': {
    rule: 'asked before closing',
    edits: [
      {
        file: 'activities/closing/at-alipay.ts',
        from: '  const answer = await alipay.query(outTradeNo);\n  switch',
        to: "  const answer = { answer: 'closed', paidAt: null } as QueryAnswer;\n  switch",
      },
    ],
  },
  'unknown taken for closed': {
    rule: 'asked before closing',
    edits: [
      {
        file: 'activities/closing/close-safely.ts',
        from: "return { kind: 'held', because: error.message, error, waitsFor: 'answer' };",
        to: "return { kind: 'closable', recheckInMs: null };",
      },
    ],
  },
  'refund without its fixed number': {
    rule: 'refunds are proven, once each',
    edits: [
      {
        file: 'activities/refunds.ts',
        from: 'gateway.refund({ outTradeNo, outRequestNo, amount, reason }, ',
        to: 'gateway.refund({ outTradeNo, outRequestNo: `${outRequestNo}_${Date.now()}`, amount, reason }, ',
      },
    ],
  },
  'success before the signal is held': {
    rule: 'success once Temporal holds it',
    edits: [
      {
        file: 'client/notifications.ts',
        from: 'await wakePayment(deps.temporal, payment, stored.id);',
        // It is not even started: a call that nothing awaits would continue after the test.
        to: 'void wakePayment;',
      },
    ],
  },
  'outbox row written after the commit': {
    rule: 'told one result',
    edits: [
      {
        file: 'db/orders.ts',
        from: 'SELECT :messageId, id, :outTradeNo, :status, CAST(:amount AS numeric), :foundBy FROM settled',
        to: 'SELECT :messageId, id, :outTradeNo, :status, CAST(:amount AS numeric), :foundBy FROM settled WHERE false',
      },
      {
        file: 'db/ledger/recording.ts',
        from: 'return { ...(await recordAll(db, outTradeNo, rules, faults)), faults };',
        to: `const recording = await recordAll(db, outTradeNo, rules, faults);
      if (recording.moves.includes('PAID')) {
        await db.raw(
          \`INSERT INTO order_messages (id, order_id, out_trade_no, status, amount)
           SELECT 'PAID-' || out_trade_no, order_id, out_trade_no, 'PAID', total_amount FROM payments WHERE out_trade_no = ?\`,
          [outTradeNo],
        );
      }
      return { ...recording, faults };`,
      },
    ],
  },
  'sibling not asked': {
    rule: 'asked before closing',
    edits: [
      {
        file: 'activities/closing/close-safely.ts',
        from: 'const first = await eachOf(payments, (payment) =>',
        to: 'const first = await eachOf(payments.slice(0, 1), (payment) =>',
      },
      {
        file: 'activities/closing/close-safely.ts',
        from: 'return eachOf(payments, async (payment, i) => {',
        to: 'return eachOf(payments.slice(0, 1), async (payment, i) => {',
      },
    ],
  },
  'slow checks off': {
    rule: 'money is found soon',
    edits: [
      {
        file: 'activities/follow-up/index.ts',
        from: "each('slowChecks', 2_000, findSlowChecks, askSlowly)",
        to: "each('slowChecks', 2_000, (db) => findSlowChecks(db, { merchants: [], limit: 0 }), askSlowly)",
      },
    ],
  },
  'amount of a notification not compared': {
    rule: 'the row knows the money',
    edits: [
      {
        file: 'db/rules.ts',
        from: 'const differs = readFen(paidAmount) !== toFen(expectedAmount(payment));',
        to: 'const differs = false;',
      },
    ],
  },
  'quota ignored': {
    rule: 'the quota is kept',
    edits: [{ file: 'db/alipay-quota.ts', from: 'return taken?.waitMs;', to: 'return taken && 0;' }],
  },
  'evidence recorded as soon as it is stored': {
    rule: 'recorded means decided',
    edits: [{ file: 'db/evidence.ts', from: 'CASE WHEN NOT :isNews THEN now() END\n', to: 'now()\n' }],
  },
  'proof of a refund not compared': {
    rule: 'refunds are proven, once each',
    edits: [
      {
        file: 'activities/alipay/gateway.ts',
        from: "if (fen === undefined || (typeof amount === 'string' && fen !== toFen(amount))) return undefined;",
        to: 'if (fen === undefined) return undefined;',
      },
    ],
  },
  'told_at before telling': {
    rule: 'told means acted on',
    edits: [
      {
        file: 'activities/orders.ts',
        from: 'const { messageId } = message;\n  try {',
        to: "const { messageId } = message;\n  await markTold(db, messageId, receiver?.kind ?? 'signal');\n  try {",
      },
    ],
  },
};
