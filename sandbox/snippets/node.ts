import type { SnippetOf } from './index';

export const nodeSnippets: readonly SnippetOf[] = [
  {
    id: 'node',
    language: 'Node',
    client: 'alipay-sdk',
    install: 'npm install alipay-sdk',
    code: ({ gateway, appId, pkcs1, alipayKey }) => `// pay.mjs
import { AlipaySdk } from 'alipay-sdk';

const sdk = new AlipaySdk({
  appId: '${appId}',
  gateway: '${gateway}',
  keyType: 'PKCS1',
  privateKey: '${pkcs1}',
  alipayPublicKey: '${alipayKey}',
});
const outTradeNo = 'node_' + Date.now();
console.log('Open this and pay:', sdk.pageExecute('alipay.trade.page.pay', 'GET', {
  bizContent: { outTradeNo, totalAmount: '0.01', subject: 'A book', productCode: 'FAST_INSTANT_TRADE_PAY' },
}));
const wait = setInterval(async () => {
  // Without validateSign the SDK believes any answer.
  const answer = await sdk.exec('alipay.trade.query', { bizContent: { outTradeNo } }, { validateSign: true });
  console.log(answer.tradeStatus ?? answer.subCode);
  if (answer.tradeStatus === 'TRADE_SUCCESS') clearInterval(wait);
}, 2000);
`,
  },
];
