import type { SnippetOf } from './index';

export const phpSnippets: readonly SnippetOf[] = [
  {
    id: 'php',
    language: 'PHP',
    client: 'alipaysdk/openapi (official)',
    install: 'composer require alipaysdk/openapi',
    code: ({ gateway, appId, pkcs1, alipayKey }) => `<?php
// pay.php
require 'vendor/autoload.php';
require_once 'vendor/alipaysdk/openapi/v2/aop/AopClient.php';
require_once 'vendor/alipaysdk/openapi/v2/aop/request/AlipayTradePagePayRequest.php';

$alipay = new AopClient();
$alipay->gatewayUrl = '${gateway}';
$alipay->appId = '${appId}';
$alipay->rsaPrivateKey = '${pkcs1}';
$alipay->alipayrsaPublicKey = '${alipayKey}';
$alipay->signType = 'RSA2';
$alipay->postCharset = 'UTF-8';
$request = new AlipayTradePagePayRequest();
$request->setBizContent(json_encode([
    'out_trade_no' => 'php_' . time(),
    'total_amount' => '0.01',
    'subject' => 'A book',
    'product_code' => 'FAST_INSTANT_TRADE_PAY',
]));
echo 'Open this and pay: ', $alipay->pageExecute($request, 'GET'), PHP_EOL;
`,
  },
  {
    id: 'php-yansongda',
    language: 'PHP',
    client: 'yansongda/pay',
    install:
      'composer require yansongda/pay, and run alipay-sandbox --certificates: this client only supports certificates',
    code: ({ gateway, appId, pkcs1 }) => `<?php
// pay.php. Save the three certificates of ${gateway.replace('/gateway.do', '/setup')} beside it.
require 'vendor/autoload.php';

use Yansongda\\Pay\\Pay;
use Yansongda\\Pay\\Provider\\Alipay;

// The client has a fixed address for each mode: the normal one becomes the sandbox's.
Pay::config(['alipay' => ['default' => [
    'app_id' => '${appId}',
    'app_secret_cert' => '${pkcs1}',
    'app_public_cert_path' => __DIR__ . '/appCertPublicKey.crt',
    'alipay_public_cert_path' => __DIR__ . '/alipayCertPublicKey_RSA2.crt',
    'alipay_root_cert_path' => __DIR__ . '/alipayRootCert.crt',
    'mode' => Pay::MODE_NORMAL,
]]]);
$order = ['out_trade_no' => 'php_' . time(), 'total_amount' => '0.01', 'subject' => 'A book'];
$page = (string) Pay::alipay()->web($order + ['_method' => 'get'])->getHeaderLine('Location');
echo 'Open this and pay: ', str_replace(Alipay::URL[Pay::MODE_NORMAL], '${gateway}', $page), PHP_EOL;
`,
  },
];
