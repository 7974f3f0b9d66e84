import { createInterface } from 'node:readline';
import { AlipaySdk } from 'alipay-sdk';

// A merchant that uses nothing but alipay-sdk. For commands and answers see ../clients.ts.

function sdkOf({ gateway, appId, privateKey, alipayPublicKey, certificates, signType }) {
  return new AlipaySdk({
    gateway,
    appId,
    privateKey: privateKey.pkcs1,
    signType,
    camelcase: false,
    ...(certificates
      ? {
          appCertContent: certificates.app,
          alipayPublicCertContent: certificates.alipay,
          alipayRootCertContent: certificates.root,
        }
      : { alipayPublicKey }),
  });
}

async function carryOut({ do: act, merchant, biz, notifyUrl, method, form }) {
  const sdk = sdkOf(merchant);
  switch (act) {
    case 'payUrl':
    case 'payForm': {
      const verb = act === 'payUrl' ? 'GET' : 'POST';
      return { page: sdk.pageExecute('alipay.trade.page.pay', verb, { bizContent: biz, notifyUrl }) };
    }
    case 'call':
      return { answer: await sdk.exec(method, { bizContent: biz }, { validateSign: true }) };
    case 'checkNotification':
      return { genuine: sdk.checkNotifySignV2(Object.fromEntries(new URLSearchParams(form))) };
    default:
      throw new Error(`no such command: ${act}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await carryOut(JSON.parse(line)).catch((error) => ({ refused: error.message }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
