package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-pay/gopay"
	"github.com/go-pay/gopay/alipay"
	"github.com/go-pay/gopay/pkg/xhttp"
)

type goPay struct {
	*alipay.Client
	of merchant
}

func newGopay(of merchant) (client, error) {
	made, err := alipay.NewClient(of.AppID, of.PrivateKey.BarePkcs1, true)
	if err != nil {
		return nil, err
	}
	web := xhttp.NewClient()
	web.HttpClient.Transport = toGateway{of.Gateway}
	made.SetHttpClient(web)
	client := goPay{made, of}
	if of.Certificates == nil {
		made.AutoVerifySign([]byte("-----BEGIN PUBLIC KEY-----\n" + of.AlipayPublicKey + "\n-----END PUBLIC KEY-----"))
		return client, nil
	}
	made.AutoVerifySign([]byte(of.Certificates.Alipay))
	return client, made.SetCertSnByContent(
		[]byte(of.Certificates.App), []byte(of.Certificates.Root), []byte(of.Certificates.Alipay))
}

// toGateway leads what is asked of Alipay's fixed address to the merchant's gateway.
type toGateway struct{ gateway string }

func (to toGateway) RoundTrip(request *http.Request) (*http.Response, error) {
	gateway, err := url.Parse(to.gateway)
	if err != nil {
		return nil, err
	}
	request.URL.Scheme, request.URL.Host, request.Host = gateway.Scheme, gateway.Host, gateway.Host
	return http.DefaultTransport.RoundTrip(request)
}

func (c goPay) payURL(biz []byte, notifyURL string) (string, error) {
	body := gopay.BodyMap{}
	if err := json.Unmarshal(biz, &body); err != nil {
		return "", err
	}
	c.SetNotifyUrl(notifyURL)
	page, err := c.TradePagePay(context.Background(), body)
	_, query, _ := strings.Cut(page, "?")
	return c.of.Gateway + "?" + query, err
}

func (c goPay) call(method string, biz []byte) (any, error) {
	body := gopay.BodyMap{}
	if err := json.Unmarshal(biz, &body); err != nil {
		return nil, err
	}
	ctx := context.Background()
	switch method {
	case "alipay.trade.query":
		answer, err := c.TradeQuery(ctx, body)
		return answer, unlessRefused(err)
	case "alipay.trade.close":
		answer, err := c.TradeClose(ctx, body)
		return answer, unlessRefused(err)
	case "alipay.trade.refund":
		answer, err := c.TradeRefund(ctx, body)
		return answer, unlessRefused(err)
	case "alipay.trade.fastpay.refund.query":
		answer, err := c.TradeFastPayRefundQuery(ctx, body)
		return answer, unlessRefused(err)
	}
	return nil, fmt.Errorf("no such method: %s", method)
}

// unlessRefused drops an error that only repeats what the answer beside it says.
func unlessRefused(err error) error {
	if _, isRefusal := alipay.IsBizError(err); isRefusal {
		return nil
	}
	return err
}

func (c goPay) isGenuine(form url.Values) bool {
	fields, err := alipay.ParseNotifyByURLValues(form)
	if err != nil {
		return false
	}
	var genuine bool
	if c.of.Certificates == nil {
		genuine, err = alipay.VerifySign(c.of.AlipayPublicKey, fields)
	} else {
		genuine, err = alipay.VerifySignWithCert([]byte(c.of.Certificates.Alipay), fields)
	}
	return genuine && err == nil
}
