import { Option } from 'commander';
import type { ProofAudit } from '../../activities/proofs';
import { PROOF_FAULTS } from '../../activities/proofs';
import type { Violation } from '../../db/audit';
import { AUDIT_CHECKS } from '../../db/audit';
import type { AuditResult } from '../index';
import type { CliCommand } from './command';
import { answer } from './command';
import { EXIT } from './exit';
import type { Paint } from './screen';
import { distance, fields, tableOf } from './screen';

interface Options {
  recent?: boolean;
  evidence?: boolean;
  trust?: string[];
}

export const AUDIT: CliCommand = {
  name: 'audit',
  summary: 'check the tables against the rules of the ledger',
  description:
    'Checks all orders, in one snapshot, and names what breaks the rules: unexplained money, a status without evidence, ' +
    'sums that differ, messages that disagree with the tables. Changes in the last ten minutes do not count. It changes no ' +
    'payment. Each hour the Schedule audit-books checks the orders that have changed. With --evidence it verifies instead ' +
    'what Alipay signed for each payment that counts as paid, with the keys in the settings, and compares status and ' +
    'amounts with it. Exit code 1: something breaks the rules.',
  options: [
    new Option('--recent', 'only orders that have changed since the last audit, as the Schedule does'),
    new Option('--evidence', 'verify the signatures of what proves each payment').conflicts('recent'),
    new Option('--trust <fingerprint...>', 'with --evidence: also accept this former key of Alipay'),
  ],
  examples: ['audit', 'audit --recent --json | jq .byCheck', 'audit --evidence'],
  act: async ({ payments }, { recent = false, evidence = false, trust }: Options) => {
    if (evidence) {
      const proofs = await payments.audit.evidence({ trust });
      return answer(proofs, describeProofs, proofs.faults.length === 0 ? EXIT.ok : EXIT.failure);
    }
    const result = await payments.audit.run({ whole: !recent });
    return answer(result, describe, result.violations === 0 ? EXIT.ok : EXIT.failure);
  },
};

function describe(paint: Paint, { orders, violations, yuan, seconds, found }: AuditResult): string {
  const looked = `${orders === null ? 'all orders' : `${orders} orders that had changed`} in ${seconds} s`;
  if (violations === 0) return `${paint('green', 'The books agree')}: ${looked}.`;
  return [
    `${paint('red', `The books contradict themselves in ${violations} places`)}, ${yuan} yuan unexplained: ${looked}.`,
    ...AUDIT_CHECKS.filter(({ name }) => found.some((one) => one.name === name)).map((check) =>
      [
        paint('bold', check.name),
        fields(paint, [
          ['Means', check.means],
          ['To do', check.remedy],
        ]),
        violationTable(
          paint,
          found.filter(({ name }) => name === check.name),
        ),
      ].join('\n'),
    ),
  ].join('\n\n');
}

const violationTable = tableOf<Violation>({
  ORDER: ({ orderId }) => orderId,
  PAYMENT: ({ outTradeNo }) => outTradeNo || null,
  YUAN: ({ amount }) => amount,
  AGE: ({ since }) => distance(since),
});

function describeProofs(paint: Paint, { payments, proven, unprovable, faults, keys }: ProofAudit): string {
  const counted = fields(paint, [
    ['Payments', String(payments)],
    ['Proven', String(proven)],
    [
      'Unprovable',
      unprovable > 0 ? `${unprovable}: their evidence was pruned (EVIDENCE_RETENTION)` : undefined,
    ],
    ['Keys', keys.join(' ')],
  ]);
  if (faults.length === 0) return `${paint('green', 'Nothing contradicts what Alipay signed')}\n${counted}`;
  const found = [...new Set(faults.map(({ fault }) => fault))];
  return [
    `${paint('red', `${faults.length} rows or pieces of evidence are not as Alipay signed them`)}\n${counted}`,
    faultTable(paint, faults),
    found.map((fault) => `${paint('bold', fault)}: ${PROOF_FAULTS[fault]}`).join('\n'),
  ].join('\n\n');
}

const faultTable = tableOf<ProofAudit['faults'][number]>({
  FAULT: ({ fault }) => fault,
  ORDER: ({ orderId }) => orderId,
  PAYMENT: ({ outTradeNo }) => outTradeNo,
  EVIDENCE: ({ evidenceId }) => evidenceId,
  SAYS: ({ says }) => says,
  AGE: ({ since }) => distance(since),
});
