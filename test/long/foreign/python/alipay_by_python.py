"""A merchant that knows nothing but one of Python's two clients. What commands and answers are: ../clients.ts."""
import importlib
import json
import sys
import urllib.parse


class Official:
    """alipay-sdk-python"""

    def __init__(self, merchant):
        from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
        from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
        from alipay.aop.api.util import WebUtils

        WebUtils.get_http_connection = self.connect
        self.config = AlipayClientConfig()
        self.config.server_url = merchant['gateway']
        self.config.app_id = merchant['appId']
        self.config.app_private_key = merchant['privateKey']['barePkcs1']
        self.config.alipay_public_key = merchant['alipayPublicKey']
        self.config.sign_type = merchant['signType']
        self.config.charset = merchant['charset']
        self.client = DefaultAlipayClient(self.config)

    @staticmethod
    def connect(url, query, timeout):
        """In place of the client's own, which knows no port."""
        from http.client import HTTPConnection

        address = urllib.parse.urlparse(url)
        return address.path + '?' + query, HTTPConnection(address.hostname, address.port, timeout=timeout)

    @staticmethod
    def request(method, biz):
        name = ''.join(word.capitalize() for word in method.split('.')) + 'Request'
        request = getattr(importlib.import_module('alipay.aop.api.request.' + name), name)()
        request.biz_content = biz
        return request

    def page(self, biz, notify_url, http_method):
        request = self.request('alipay.trade.page.pay', biz)
        request.notify_url = notify_url
        return self.client.page_execute(request, http_method)

    def call(self, method, biz):
        return json.loads(self.client.execute(self.request(method, biz)))

    def is_genuine(self, fields):
        from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa

        signed = {name: value for name, value in fields.items() if name not in ('sign', 'sign_type')}
        content = get_sign_content(signed).encode(self.config.charset)
        try:
            return verify_with_rsa(self.config.alipay_public_key, content, fields['sign'])
        except Exception as error:
            if type(error).__name__ == 'VerificationError':
                return False
            raise


class PythonAlipaySdk:
    """python-alipay-sdk"""

    def __init__(self, merchant):
        from alipay import AliPay, DCAliPay

        shared = {
            'appid': merchant['appId'],
            'app_private_key_string': merchant['privateKey']['pkcs1'],
            'sign_type': merchant['signType'],
        }
        certificates = merchant.get('certificates')
        if certificates:
            self.client = DCAliPay(
                app_public_key_cert_string=certificates['app'],
                alipay_public_key_cert_string=certificates['alipay'],
                alipay_root_cert_string=certificates['root'],
                **shared,
            )
        else:
            pem = '-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----' % merchant['alipayPublicKey']
            self.client = AliPay(alipay_public_key_string=pem, **shared)
        self.gateway = self.client._gateway = merchant['gateway']

    def page(self, biz, notify_url, _http_method):
        query = self.client.client_api('alipay.trade.page.pay', biz, notify_url=notify_url)
        return self.gateway + '?' + query

    def call(self, method, biz):
        return self.client.server_api(method, biz)

    def is_genuine(self, fields):
        fields = dict(fields)
        return self.client.verify(fields, fields.pop('sign'))


def carry_out(client, command):
    if command['do'] in ('payUrl', 'payForm'):
        http_method = 'GET' if command['do'] == 'payUrl' else 'POST'
        return {'page': client.page(command['biz'], command['notifyUrl'], http_method)}
    if command['do'] == 'call':
        return {'answer': client.call(command['method'], command['biz'])}
    if command['do'] == 'checkNotification':
        charset = command['merchant']['charset']
        return {'genuine': client.is_genuine(dict(urllib.parse.parse_qsl(command['form'], encoding=charset)))}
    raise ValueError('no such command: %s' % command['do'])


CLIENTS = {'alipay-sdk-python': Official, 'python-alipay-sdk': PythonAlipaySdk}

for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = carry_out(CLIENTS[sys.argv[1]](command['merchant']), command)
    except Exception as error:
        answer = {'refused': '%s: %s' % (type(error).__name__, error)}
    print(json.dumps(answer), flush=True)
