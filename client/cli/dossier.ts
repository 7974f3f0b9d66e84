import { writeFileSync } from 'node:fs';
import { PaymentError } from '../../workflows/errors';
import type { Payment, PaymentEvent, Proofs } from '../index';
import type { ZipFile } from '../zip';
import { zipOf } from '../zip';
import type { CliPayments } from './command';
import { fields, painter, utc, visibleData } from './screen';
import { timeline } from './timeline';

/** What was written. */
export interface Dossier {
  file: string;
  /** How many signed bodies it holds. */
  pieces: number;
  /** How many were pruned, so that only the timeline mentions them. */
  pruned: number;
}

/**
 * Writes the proof of a payment into a zip that openssl can verify and only this user can read. Overwrites no file.
 *
 * @throws PaymentError PAYMENT_UNKNOWN, INVALID_INPUT if the file cannot be written
 */
export async function writeDossier(
  payments: CliPayments,
  outTradeNo: string,
  file = `dossier-${outTradeNo}.zip`,
): Promise<Dossier> {
  const payment = await payments.payment(outTradeNo);
  const [events, proofs] = await Promise.all([
    payments.events(outTradeNo),
    payments.audit.proofs(outTradeNo),
  ]);
  const pieces = proofs.evidence.filter(({ body }) => body !== null).length;
  const pruned = proofs.evidence.length - pieces;
  try {
    writeFileSync(file, zipOf(filesOf(payment, events, proofs)), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new PaymentError('INVALID_INPUT', `out: ${(error as Error).message}`, { cause: error });
  }
  return { file, pieces, pruned };
}

function filesOf(payment: Payment, events: readonly PaymentEvent[], { evidence, keys }: Proofs): ZipFile[] {
  const used = new Set(evidence.map(({ keyFingerprint }) => keyFingerprint));
  const keyOf = new Map(keys.map((key) => [key.fingerprint, key]));
  const pieces = evidence.flatMap(({ id, body, signature, keyFingerprint }) => {
    if (body === null || signature === null) return [];
    const publicKey = keyOf.get(keyFingerprint)?.publicKey;
    return [
      { name: `evidence/${id}.txt`, content: body },
      { name: `evidence/${id}.sig`, content: Buffer.from(signature, 'base64') },
      ...(publicKey === undefined ? [] : [{ name: `evidence/${id}.pem`, content: Buffer.from(publicKey) }]),
    ];
  });
  const certificates = [...keyOf.values()].flatMap(({ fingerprint, certificate }) =>
    certificate !== null && used.has(fingerprint)
      ? [{ name: `alipay-${fingerprint.slice(0, 16)}.crt`, content: Buffer.from(certificate) }]
      : [],
  );
  return [
    { name: 'README.txt', content: Buffer.from(readme(payment, evidence, [...used])) },
    { name: 'timeline.txt', content: Buffer.from(timelineOf(payment, events)) },
    ...pieces,
    ...certificates,
  ];
}

/** Five lines. */
function readme(
  { outTradeNo, orderId }: Payment,
  evidence: Proofs['evidence'],
  fingerprints: readonly string[],
): string {
  const first = evidence.find(({ body }) => body !== null)?.id ?? 'N';
  return `Payment ${outTradeNo} of order ${orderId}: what Alipay said of it, byte by byte (evidence/*.txt), its signatures (*.sig) and its public key (*.pem); timeline.txt is our own record. It holds personal data.
One piece:  openssl dgst -sha256 -verify evidence/${first}.pem -signature evidence/${first}.sig evidence/${first}.txt   (or another number)
All pieces: for s in evidence/*.sig; do b="\${s%.sig}"; openssl dgst -sha256 -verify "$b.pem" -signature "$s" "$b.txt"; done
The key's fingerprint: openssl pkey -pubin -in evidence/${first}.pem -outform DER | openssl dgst -sha256   (${fingerprints.join(', ')})
To see that the key is Alipay's: open.alipay.com shows the public key of the application; a certificate (alipay-*.crt) has it: openssl x509 -noout -pubkey -in alipay-*.crt
`;
}

function timelineOf(payment: Payment, events: readonly PaymentEvent[]): string {
  const plain = painter(false);
  const { outTradeNo, orderId, status, totalAmount, paidAmount, refundedAmount, tradeNo, callbackTime } =
    payment;
  const row = fields(plain, [
    ['Payment', outTradeNo],
    ['Order', orderId],
    ['Status', status],
    ['Amount', totalAmount],
    ['Alipay took', paidAmount],
    ['Refunded', refundedAmount],
    ['Alipay trade', tradeNo],
    ['Paid', callbackTime && utc(new Date(callbackTime))],
  ]);
  return `${row}\n\nTimeline (UTC)\n${timeline(plain, visibleData({ events }))}\n`;
}
