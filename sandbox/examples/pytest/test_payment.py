import json
import os
import shlex
import socket
import subprocess
import tempfile
import time
import urllib.request

import pytest
from alipay import AliPay


class Sandbox:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.url = 'http://127.0.0.1:%d' % port
        command = shlex.split(os.environ.get('ALIPAY_SANDBOX', 'npx --no-install alipay-sandbox'))
        self.process = subprocess.Popen(command + ['--port', str(port), '--dir', folder], stdout=subprocess.DEVNULL)
        for _ in range(300):
            try:
                self.setup = self.ask('/setup/json')
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError('the sandbox did not start')

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {'content-type': 'application/json'})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def control(self, name, **arguments):
        return self.ask('/control/' + name, arguments)


@pytest.fixture(scope='session')
def sandbox():
    with tempfile.TemporaryDirectory() as folder:
        started = Sandbox(folder)
        yield started
        started.process.terminate()
        started.process.wait()


@pytest.fixture
def alipay(sandbox):
    sandbox.control('reset')
    setup = sandbox.setup
    client = AliPay(
        appid=setup['appId'],
        app_notify_url=None,
        app_private_key_string=setup['appPrivateKey']['pkcs1'],
        alipay_public_key_string=setup['alipayPublicKey']['pem'],
        sign_type='RSA2',
    )
    client._gateway = setup['gateway']
    return client


def test_a_buyer_pays(sandbox, alipay):
    query = alipay.api_alipay_trade_page_pay(subject='龙井茶', out_trade_no='A1', total_amount='8.88')
    sandbox.control('pay', outTradeNo='%s?%s' % (sandbox.setup['gateway'], query))
    assert alipay.api_alipay_trade_query(out_trade_no='A1')['trade_status'] == 'TRADE_SUCCESS'


def test_a_partial_refund(sandbox, alipay):
    sandbox.control('seed', orders=[{'outTradeNo': 'A2', 'totalAmount': '8.88'}])
    answer = alipay.api_alipay_trade_refund(out_trade_no='A2', refund_amount='1.00', out_request_no='R1')
    assert answer['fund_change'] == 'Y'
    assert sandbox.control('trade', outTradeNo='A2')['refundedAmount'] == '1.00'
