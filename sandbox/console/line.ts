import type { Flaw } from '../flaw';
import type { CallEntry, Journal } from '../journal';

/**
 * Prints a line for every call: the method, the order, whether the signature held, the code, and the seller if there
 * are several. It shows nothing about the buyer.
 */
export function printCalls(journal: Journal, print: (line: string) => void, areSeveral: boolean): void {
  journal.follow((entry) => {
    if (entry?.kind === 'call') print(lineOf(entry, areSeveral));
  });
}

function lineOf(entry: CallEntry, areSeveral: boolean): string {
  const { at, method, sellerId, outTradeNo, signature, flaw, fault, code, subCode, httpStatus } = entry;
  const said = subCode ?? code ?? (httpStatus === undefined ? 'no answer' : `HTTP ${httpStatus}`);
  return [
    at.slice(11, 19),
    plain(method === '' ? '(no method)' : method).padEnd(24),
    plain(outTradeNo ?? '-'),
    verdict(signature, flaw),
    said,
    ...(fault === undefined ? [] : [`fault ${fault.mode}`]),
    ...(areSeveral && sellerId !== undefined ? [`seller ${sellerId}`] : []),
  ].join('  ');
}

function verdict(signature: CallEntry['signature'], flaw: Flaw | undefined): string {
  const words =
    signature === undefined ? 'not checked' : signature === 'genuine' ? 'signed' : 'BAD SIGNATURE';
  if (flaw === undefined || flaw.kind === 'refused') return words;
  return `${words} (${[flaw.kind, flaw.field].filter((part) => part !== undefined).join(': ')})`;
}

// Both come from the wire: what a terminal would obey is replaced.
function plain(text: string): string {
  const shown = text.replace(/[^\x21-\x7e]/g, '?');
  return shown.length > 64 ? `${shown.slice(0, 63)}~` : shown;
}
