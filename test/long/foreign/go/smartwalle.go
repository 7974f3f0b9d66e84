package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/smartwalle/alipay/v3"
)

type smartwalle struct{ *alipay.Client }

func newSmartwalle(of merchant) (client, error) {
	made, err := alipay.New(of.AppID, of.PrivateKey.BarePkcs1, false, alipay.WithSandboxGateway(of.Gateway))
	if err != nil {
		return nil, err
	}
	if of.Certificates == nil {
		return smartwalle{made}, made.LoadAliPayPublicKey(of.AlipayPublicKey)
	}
	return smartwalle{made}, errors.Join(
		made.LoadAppCertPublicKey(of.Certificates.App),
		made.LoadAlipayCertPublicKey(of.Certificates.Alipay),
		made.LoadAliPayRootCert(of.Certificates.Root),
	)
}

func (c smartwalle) payURL(biz []byte, notifyURL string) (string, error) {
	page := alipay.TradePagePay{}
	if err := json.Unmarshal(biz, &page); err != nil {
		return "", err
	}
	page.NotifyURL = notifyURL
	address, err := c.TradePagePay(page)
	if err != nil {
		return "", err
	}
	return address.String(), nil
}

func (c smartwalle) call(method string, biz []byte) (answer any, err error) {
	switch method {
	case "alipay.trade.query":
		answer, err = ask(c.TradeQuery, biz)
	case "alipay.trade.close":
		answer, err = ask(c.TradeClose, biz)
	case "alipay.trade.refund":
		answer, err = ask(c.TradeRefund, biz)
	case "alipay.trade.fastpay.refund.query":
		answer, err = ask(c.TradeFastPayRefundQuery, biz)
	default:
		return nil, fmt.Errorf("no such method: %s", method)
	}
	// An answer without a signature is returned so.
	var refusal *alipay.Error
	if errors.As(err, &refusal) {
		return refusal, nil
	}
	return answer, err
}

func ask[Question, Answer any](method func(context.Context, Question) (Answer, error), biz []byte) (any, error) {
	var question Question
	if err := json.Unmarshal(biz, &question); err != nil {
		return nil, err
	}
	return method(context.Background(), question)
}

func (c smartwalle) isGenuine(form url.Values) bool {
	return c.VerifySign(form) == nil
}
