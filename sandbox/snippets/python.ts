import type { SnippetOf } from './index';

export const pythonSnippets: readonly SnippetOf[] = [
  {
    id: 'python',
    language: 'Python',
    client: 'alipay-sdk-python (official)',
    install: 'pip install alipay-sdk-python',
    code: ({ gateway, appId, pkcs1, alipayKey }) => `# pay.py
# Its post() cannot take a port in the gateway's address: put the sandbox on port 80, or use python-alipay-sdk. Page URLs work.
import time
from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.domain.AlipayTradePagePayModel import AlipayTradePagePayModel
from alipay.aop.api.request.AlipayTradePagePayRequest import AlipayTradePagePayRequest

config = AlipayClientConfig()
config.server_url = '${gateway}'
config.app_id = '${appId}'
config.app_private_key = '${pkcs1}'
config.alipay_public_key = '${alipayKey}'
model = AlipayTradePagePayModel()
model.out_trade_no = 'python_%d' % time.time()
model.total_amount = '0.01'
model.subject = 'A book'
model.product_code = 'FAST_INSTANT_TRADE_PAY'
request = AlipayTradePagePayRequest(biz_model=model)
print('Open this and pay:', DefaultAlipayClient(config).page_execute(request, http_method='GET'))
`,
  },
  {
    id: 'python-alipay-sdk',
    language: 'Python',
    client: 'python-alipay-sdk',
    install: 'pip install python-alipay-sdk',
    code: ({ gateway, appId, pkcs1, alipayKey }) => `# pay.py
import textwrap
import time
from alipay import AliPay


def pem(kind, key):
    return '-----BEGIN %s-----\\n%s\\n-----END %s-----' % (kind, '\\n'.join(textwrap.wrap(key, 64)), kind)


alipay = AliPay(
    appid='${appId}',
    app_notify_url=None,
    app_private_key_string=pem('RSA PRIVATE KEY', '${pkcs1}'),
    alipay_public_key_string=pem('PUBLIC KEY', '${alipayKey}'),
    sign_type='RSA2',
)
alipay._gateway = '${gateway}'
no = 'python_%d' % time.time()
query = alipay.api_alipay_trade_page_pay(subject='A book', out_trade_no=no, total_amount='0.01')
print('Open this and pay: ${gateway}?' + query)
status = None
while status != 'TRADE_SUCCESS':
    time.sleep(2)
    status = alipay.api_alipay_trade_query(out_trade_no=no).get('trade_status')
    print(status)
`,
  },
];
